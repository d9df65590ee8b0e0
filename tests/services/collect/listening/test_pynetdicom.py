"""What the listener leans on in pynetdicom, beyond its documentation: a new version that changes it is told at once."""

import hashlib
import inspect

import pytest
from pynetdicom import acse, association, dimse, dul, events, fsm, transport

# The listener subclasses these, or drives them from one thread instead of two. When a digest differs, read the new
# code, see that services/collect/{wire,upper_layer,server}.py still hold, and write the new digest down.
LEANED_ON = {
    acse.ACSE._negotiate_as_acceptor: "fffd360957c42a8e",
    acse.ACSE.is_aborted: "ad2eb3f545a9ed05",
    acse.ACSE.is_release_requested: "894b33d21a8dec8e",
    acse.ACSE.send_reject: "700998293bbcb6c9",
    association.Association.__init__: "eb07516b8009ad8f",
    association.Association._abort_blocking: "10b43ef8c63c6764",
    association.Association._run_reactor: "f28838c5559e462a",
    association.Association._serve_request: "2f24c1759cdf6c8c",
    association.Association.kill: "8f9713666a7f4cff",
    association.Association.run_reactor: "ed8bbbe3b3d6ddae",
    dimse.DIMSEServiceProvider.get_msg: "890e3e04283f5aeb",
    dimse.DIMSEServiceProvider.receive_primitive: "5f99c86b14a15cef",
    dul.DULServiceProvider.__init__: "c82dafa9438ddf70",
    dul.DULServiceProvider._is_transport_event: "8725ed03bb8fbdef",
    dul.DULServiceProvider._process_recv_primitive: "4c0ebbb3e646e35e",
    dul.DULServiceProvider._read_pdu_data: "19f2d4e38c13c835",
    dul.DULServiceProvider._send: "a850a7919e68484e",
    dul.DULServiceProvider.receive_pdu: "fa67339834ca998c",
    dul.DULServiceProvider.run_reactor: "e3a10eb3a0931e48",
    dul.DULServiceProvider.send_pdu: "7cbce5da8594124e",
    dul.DULServiceProvider.stop_dul: "28a7e0be126e7b30",
    events.trigger: "b97f8a75e8affaa0",
    fsm: "2fc1cecfa043749e",
    transport.AssociationServer: "43a9a62b2c40dea4",
    transport.AssociationSocket: "4f95b1dce6067f32",
    transport.RequestHandler: "e2184a069d1f8e5a",
}


def digest_of(thing) -> str:
    return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:16]


@pytest.mark.parametrize("thing", LEANED_ON, ids=lambda thing: f"{getattr(thing, '__qualname__', thing.__name__)}")
def test_pynetdicom_is_as_it_was_when_the_listener_was_written(thing) -> None:
    assert digest_of(thing) == LEANED_ON[thing]
