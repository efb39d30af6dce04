"""Plan B, seen from a program on the same machine: see `archipel.plan_b.client`."""
