"""Everything that measures, with and without ROS."""
