"""Several processes put and take at once: every message arrives whole, exactly once; exchange tables stay whole."""

import subprocess
import sys
import time

from kombu import Connection, Exchange, Queue

from shared.bus import celery_app

PUT = """
import sys
from pathlib import Path
from kombu import Connection
from shared.bus import celery_app
app = celery_app("folder://localhost/", Path(sys.argv[1]))
with app.connection_for_write() as connection:
    queue = connection.SimpleQueue("q")
    for n in range(200):
        queue.put({"from": sys.argv[2], "n": n, "long": "x" * 5000})
"""


def test_whole_and_once(tmp_path):
    app = celery_app("folder://localhost/", tmp_path)
    writers = [subprocess.Popen([sys.executable, "-c", PUT, str(tmp_path), str(w)]) for w in range(3)]
    taken = []
    deadline = time.monotonic() + 60
    with app.connection_for_read() as one, app.connection_for_read() as other:
        queues = [one.SimpleQueue("q"), other.SimpleQueue("q")]
        while len(taken) < 600 and time.monotonic() < deadline:
            for queue in queues:
                try:
                    message = queue.get(timeout=0.05)
                except queue.Empty:
                    continue
                message.ack()
                taken.append((message.payload["from"], message.payload["n"]))
    assert [w.wait(30) for w in writers] == [0, 0, 0]
    assert sorted(taken) == sorted((str(w), n) for w in range(3) for n in range(200))


def test_a_message_that_cannot_be_read_is_dropped_and_the_next_one_comes(tmp_path):
    app = celery_app("folder://localhost/", tmp_path)
    (tmp_path / "broker/messages/00000000000000000000_broken.q.msg").write_text("")
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue("q")
        queue.put({"n": 1})
        assert queue.get(timeout=5).payload == {"n": 1}


def test_a_topic_exchange_keeps_every_binding(tmp_path):
    app = celery_app("folder://localhost/", tmp_path)
    exchange = Exchange("events", type="topic", durable=True)
    with Connection("folder://localhost/", transport_options=app.conf.broker_transport_options) as connection:
        channel = connection.channel()
        for n in range(5):
            Queue(f"listener{n}", exchange, routing_key="study.*", channel=channel).declare()
        with connection.Producer() as producer:
            producer.publish({"n": 1}, exchange=exchange, routing_key="study.completed")
        sizes = [channel._size(f"listener{n}") for n in range(5)]
    assert sizes == [1, 1, 1, 1, 1]
