"""The ROS 2 wing: the controller and the plant as nodes. Thin shells without control logic."""
