"""What is measured of ours: each module a subject, each function one round of it, giving names and figures."""
