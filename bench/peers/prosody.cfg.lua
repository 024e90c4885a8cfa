-- Prosody 0.12 as bench/run starts it: loopback, one domain, one room service; words between two @ are filled in.
-- Everything that a client of the works touches is on; limits on rates are off. @ARCHIVE@ is the archive of people and of
-- rooms in Prosody's own files, or nothing.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
log = { warn = "@DIR@/prosody.log" }

interfaces = { "127.0.0.1" }
c2s_ports = { @XMPP@ }
c2s_direct_tls_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}

network_backend = "epoll"
network_settings = { tcp_backlog = 2048 }

modules_enabled = {
	"roster", "saslauth", "tls", "disco", "carbons", "pep", "blocklist", "vcard4", "vcard_legacy",
	"smacks", "csi_simple", "ping", "time", "version", @ARCHIVE@
}
modules_disabled = { "s2s" }

c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
storage = "internal"
ssl = { key = "@DIR@/key.pem", certificate = "@DIR@/cert.pem" }

-- A room's archive has to hold a whole run (the default keeps 10,000).
storage_archive_item_limit = 100000000
archive_expires_after = "never"
default_archive_policy = true
max_archive_query_results = 250

VirtualHost "localhost"

Component "rooms.localhost" "muc"
	modules_enabled = { @ROOM_ARCHIVE@ }
	muc_log_by_default = true
	muc_log_expires_after = "never"
	muc_room_locking = true
	muc_room_default_history_length = 0
