"""Tests of the neural engines: the real libraries, on models that the tests make."""
