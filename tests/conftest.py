"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: time is measured in benchmarks/, never asserted here.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")
