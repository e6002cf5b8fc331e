"""Evidence that a log was not altered: records chained by hashes, signed checkpoints, proofs of single events, and verifying all that.

    record ──▶ link = SHA-256(0 · link before · offset · log time · key · value)          `chain`
    links of an interval ──▶ Merkle root                                                 `merkle`
    interval, its root, the last link, the checkpoint before ──▶ signed checkpoint       `checkpoint`, `signing`

The notary signs, into a ledger (a folder) and, where asked, into a log of its own. Whoever has the public key verifies.
"""
