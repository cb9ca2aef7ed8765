"""Measurements of latency and cost, with and without ROS."""
