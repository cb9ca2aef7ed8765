"""Tests of the nodes and programs: real processes, real ROS, no sound card."""
