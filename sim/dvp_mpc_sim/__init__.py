"""The simulation wing: a PyBullet plant, the loop that closes it and the pictures of it. dvp_mpc never imports it."""
