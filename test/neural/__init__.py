"""Tests of the neural engines, in an environment that has them."""
