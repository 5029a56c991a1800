"""ENGINE that tells: takes announcements to the endpoints that subscribed, and gives up on those that never answer."""
