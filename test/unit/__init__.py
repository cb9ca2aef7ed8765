"""Tests of single modules: no ROS, no sound, no espeak-ng."""
