"""storage commitment: what senders ask of us, and what we ask of destinations"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("times_stored", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_instance_sop_instance_uid", "instance", ["sop_instance_uid"], unique=False)
    op.create_table(
        "commitment_asked",
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure_reason", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_uid"),
    )
    op.create_index("ix_commitment_asked_delivery_id", "commitment_asked", ["delivery_id"], unique=False)
    op.create_table(
        "commitment",
        sa.Column("lease_owner", sa.String(length=128), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("called_ae_title", sa.String(length=16), nullable=False),
        sa.Column("references", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_commitment_due_at", "commitment", ["due_at"], unique=False)
    op.create_index("ix_commitment_state", "commitment", ["state"], unique=False)
    op.create_index("ix_commitment_transaction_uid", "commitment", ["transaction_uid"], unique=False)


def downgrade() -> None:
    op.drop_table("commitment")
    op.drop_table("commitment_asked")
    op.drop_index("ix_instance_sop_instance_uid", "instance")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_column("times_stored")
