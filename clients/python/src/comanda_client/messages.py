"""Every message and enum of the API in one place. What they mean is said in ``proto/comanda/v1`` and in the generated types."""

from comanda.v1.analytics_service_pb2 import *
from comanda.v1.dispatch_service_pb2 import *
from comanda.v1.lifecycle_service_pb2 import *
from comanda.v1.mail_service_pb2 import *
from comanda.v1.order_pb2 import *
from comanda.v1.order_service_pb2 import *
from comanda.v1.transition_pb2 import *
from comanda.v1.trip_pb2 import *
from comanda.v1.watch_service_pb2 import *
from google.type.latlng_pb2 import LatLng as LatLng
from google.type.money_pb2 import Money as Money
