"""Drivers: real XMPP and IRC clients as people with verbs, and the servers that they can be set before."""
