"""Side by side with peers, in one run, on one machine: only ratios mean anything."""
