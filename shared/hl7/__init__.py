"""HL7 v2: framing on the wire (`mllp`), messages in and their answers (`message`, `acknowledgement`), text (`text`)."""
