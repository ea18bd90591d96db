/** What was handed out of each order: its last version, so that none is handed out twice, and whether it still moves. */

import { Phase } from "../generated/comanda/v1/order_pb.js";

/** Orders in each of the two generations: a watch may last forever, and its memory must not grow with it. */
const GENERATION_SIZE = 100_000;

const TERMINAL = new Set([Phase.SUCCEEDED, Phase.CANCELLED, Phase.REJECTED, Phase.FAILED]);

/** Whether an order in this phase has ended. */
export function isTerminal(phase: Phase): boolean {
  return TERMINAL.has(phase);
}

interface Last {
  version: bigint;
  hasEnded: boolean;
  /** The snapshot that was being read, or had been read, when the order was seen. */
  snapshot: number;
}

/** What is asked of an order or a transition. */
export interface Moved {
  orderId: string;
  version: bigint;
  phase: Phase;
}

/** The orders that were seen lately. */
export class Seen {
  #recent = new Map<string, Last>();
  #older = new Map<string, Last>();
  #snapshot = 0;

  constructor(private readonly generationSize = GENERATION_SIZE) {}

  get size(): number {
    return this.#recent.size + this.#older.size;
  }

  /** A new snapshot begins. */
  beginSnapshot(): void {
    this.#snapshot += 1;
  }

  /**
   * Notes a version, and says whether it is above all that were seen of its order. An order that was forgotten, because very many others
   * moved since, counts as new: a repeated transition may then be handed out twice, but none is left out.
   */
  isNew({ orderId, version, phase }: Moved): boolean {
    const known = this.#recent.get(orderId) ?? this.#older.get(orderId);
    const isNew = known === undefined || version > known.version;
    const last = isNew ? { version, hasEnded: isTerminal(phase) } : known;
    if (this.#recent.size >= this.generationSize) {
      [this.#older, this.#recent] = [this.#recent, new Map()];
    }
    this.#recent.set(orderId, { ...last, snapshot: this.#snapshot });
    return isNew;
  }

  /**
   * The orders that had not ended when they were seen before the last snapshot began, and that were not seen since: they have ended
   * meanwhile, or match no more.
   */
  missing(): string[] {
    const all = new Map([...this.#older, ...this.#recent]);
    const missing = [...all].filter(([, last]) => !last.hasEnded && last.snapshot < this.#snapshot);
    return missing.map(([orderId]) => orderId).sort();
  }
}
