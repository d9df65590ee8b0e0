"""Every metric, declared once. They count studies, runs and deliveries; no label carries a patient.

Served by status (for the whole system, from the book) and by each service on its own metrics port.
"""

from prometheus_client import Counter, Gauge, Histogram

MOVES = Counter("isocenter_moves_total", "Moves of studies, runs and deliveries into a state.", ["subject", "state"])

INSTANCES_STORED = Counter("isocenter_instances_stored_total", "Instances stored safely.", ["calling_ae_title"])
INSTANCE_BYTES = Counter("isocenter_instance_bytes_total", "Bytes of the instances stored.", ["calling_ae_title"])
INSTANCES_REFUSED = Counter("isocenter_instances_refused_total", "C-STOREs answered with a failure.", ["status"])
ASSOCIATIONS = Counter("isocenter_associations_total", "Associations asked for, by how they ended.", ["outcome"])
ASSOCIATIONS_OPEN = Gauge("isocenter_associations_open", "Associations that are open now.", multiprocess_mode="livesum")
QUARANTINED = Counter("isocenter_quarantined_total", "Inputs that were put in quarantine.", ["source", "cause"])

STORE_FREE_BYTES = Gauge(
    "isocenter_store_free_bytes", "Room that is left on the store's disk.", multiprocess_mode="livemostrecent"
)
STORE_LEAST_FREE_BYTES = Gauge(
    "isocenter_store_least_free_bytes",
    "With less room than this images are refused.",
    multiprocess_mode="livemostrecent",
)
REMOVED = Counter("isocenter_removed_total", "What retention removed, by rule.", ["what", "rule"])
REMOVED_BYTES = Counter("isocenter_removed_bytes_total", "Bytes that retention removed, by rule.", ["what", "rule"])

HL7_MESSAGES = Counter("isocenter_hl7_messages_total", "HL7 messages received, by type and answer.", ["type", "answer"])
ORDERS = Counter("isocenter_orders_total", "Orders written, by order control.", ["order_control"])

GATE_VERDICTS = Counter("isocenter_gate_verdicts_total", "Verdicts of the gates.", ["gate", "verdict"])
GATE_SECONDS = Histogram("isocenter_gate_seconds", "Time that a gate took for a study.", ["gate"])
INFERENCE_SECONDS = Histogram(
    "isocenter_inference_seconds",
    "Time that a package took for a study, pixels to findings.",
    ["package", "version"],
)
VERSION_LOADED = Gauge(
    "isocenter_version_loaded",
    "1 for each version of a package that is to be served and is, 0 for one that is not.",
    ["package", "version"],
    multiprocess_mode="livemostrecent",
)
VERSION_WAITS = Gauge(
    "isocenter_version_waits",
    "1 for each version of a package that is installed and reads nothing until a person chooses it.",
    ["package", "version"],
)
MODEL_SECONDS = Histogram("isocenter_model_seconds", "Time of one request to a model.", ["model"])

DELIVERY_ATTEMPTS = Counter(
    "isocenter_delivery_attempts_total", "Attempts to deliver, by answer.", ["destination", "kind", "outcome"]
)
DESTINATION_AWAY = Gauge(
    "isocenter_destination_away",
    "1 while a destination can't be reached, as this send worker sees it.",
    ["destination"],
)
COMMITMENTS_ASKED = Counter(
    "isocenter_commitments_asked_total",
    "Destinations asked whether they keep a result: asked, refused, committed, not_committed, unanswered.",
    ["destination", "outcome"],
)
COMMITMENT_REQUESTS = Counter(
    "isocenter_commitment_requests_total", "Storage commitment requests of senders, by status.", ["status"]
)
COMMITMENT_REPORTS = Counter(
    "isocenter_commitment_reports_total",
    "Attempts to tell a sender what is kept: committed, failures, not_taken, unreachable.",
    ["outcome"],
)
COMMITMENTS = Gauge("isocenter_commitments", "Storage commitment requests in the book, by state.", ["state"])
OLDEST_UNCOMMITTED_SECONDS = Gauge(
    "isocenter_oldest_uncommitted_seconds",
    "Age of the oldest result that a destination has stored and not yet said that it keeps.",
    ["destination"],
)
STAGE_FAILURES = Counter("isocenter_stage_failures_total", "Attempts that a stage failed.", ["stage", "ending"])
STAGE_SECONDS = Histogram("isocenter_stage_seconds", "Time of one piece of a stage's work.", ["stage"])
LEASES_LOST = Counter(
    "isocenter_leases_lost_total", "Work that was dropped since another worker had taken over.", ["stage"]
)
STAGE_OVERDUE = Counter(
    "isocenter_stage_overdue_total", "Work that hung: its row was taken from it, and its process ended.", ["stage"]
)
BELLS_RUNG = Counter("isocenter_bells_total", "Bells rung.", ["stage", "by"])

STUDIES = Gauge("isocenter_studies", "Studies in the book, by state.", ["state"])
RUNS = Gauge("isocenter_runs", "Runs in the book, by package, version and state.", ["package", "version", "state"])
SHADOWS = Gauge(
    "isocenter_shadows",
    "Shadow runs in the book of the last week, by how they ended: waiting, dead, agrees, differs.",
    ["package", "version", "outcome"],
)
DELIVERIES = Gauge(
    "isocenter_deliveries", "Deliveries in the book, by destination and state.", ["destination", "state"]
)
PACKAGE_FAILURES = Gauge(
    "isocenter_package_failures",
    "Failures in a row of a package's model whose runs wait, and are tried one at a time.",
    ["package", "version"],
)
OLDEST_WAITING_SECONDS = Gauge(
    "isocenter_oldest_waiting_seconds", "Age of the oldest row that waits for a stage.", ["stage"]
)
TURNAROUND_SECONDS = Gauge(
    "isocenter_turnaround_seconds", "Last image to settled, median of the studies settled in the last hour."
)
