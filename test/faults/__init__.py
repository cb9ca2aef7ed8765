"""Tests of what breaks robots: kills, freezes, full disks, dead links, stepped clocks."""
