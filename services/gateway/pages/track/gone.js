// Where a link leads that is not valid.

import { byId } from "../shared/dom.js";
import { setUpHeader } from "../shared/header.js";
import { word } from "../shared/i18n.js";

setUpHeader(null);
byId("gone").textContent = word("gone");
byId("help").textContent = word("goneHelp");
