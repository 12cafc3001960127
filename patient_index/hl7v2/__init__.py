"""HL7 v2 over MLLP: the identity feed (ITI-8), PIX (ITI-9) and PDQ (ITI-21) on one port."""
