"""Tests that record and judge what leaves the (virtual) loudspeaker."""
