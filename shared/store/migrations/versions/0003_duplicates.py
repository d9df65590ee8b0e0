"""duplicates: a row for the bytes that are kept and not read; until now the journal alone told of them"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OTHERS = sa.text("select study_instance_uid, reason, actor, at from journal where event = 'conflict' order by id")
_NOTE = "other bytes came for "


def upgrade() -> None:
    table = op.create_table(
        "duplicate",
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("overtaken", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_index(op.f("ix_duplicate_study_instance_uid"), "duplicate", ["study_instance_uid"])
    rows = {}
    columns = {"at": sa.DateTime(timezone=True)}
    for study, reason, actor, at in op.get_bind().execute(_OTHERS.columns(**columns)):
        if reason.startswith(_NOTE):
            path, sop = reason.rpartition(" ")[2], reason.removeprefix(_NOTE).partition(";")[0]
            rows[path] = {
                "path": path, "study_instance_uid": study, "sop_instance_uid": sop, "size": 0, "sha256": "",
                "calling_ae_title": actor, "received_at": at, "overtaken": False,
            }  # fmt: skip
    op.bulk_insert(table, list(rows.values()))


def downgrade() -> None:
    op.drop_table("duplicate")
