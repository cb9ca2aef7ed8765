"""The two nodes, and the client a person uses. Nothing outside this folder knows of ROS."""
