"""Stand-ins for what cannot run beside the tests: a Copr frontend, a Koji hub and builder, mock.

Each speaks the real protocol, so that the real clients are used against it; none of them is the
service. They build with the rpmbuild of this host, with stub headers and without %check.
"""
