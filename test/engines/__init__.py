"""Tests of the engines and what runs them, with the real espeak-ng: no ROS, no sound card."""
