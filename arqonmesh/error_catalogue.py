"""Every error code, explained: what it means and what to do. `arqon explain CODE` reads it; errors.py raises them."""

from __future__ import annotations

from typing import Final

CATALOGUE: Final[dict[str, tuple[str, str]]] = {
    # code: (what it means, what to do)
    "config.cluster-name": (
        "A cluster name is used in certificates, policies and on screens, so it is kept to plain characters.",
        "Choose a name such as `factory` or `eu-west.prod` and run the command again.",
    ),
    "config.needs-restart": (
        "A running node can take some settings and not others; what it can take does not fit what it keeps.",
        "Restart the node, or change the named setting alone. `arqon config diff` says which settings are which.",
    ),
    "config.other-cluster": (
        "The mesh admitted this node's key into another cluster than arqon.yaml says now. A key keeps its cluster.",
        "Set node.cluster back, or make a new node with `arqon init --cluster NAME` in another data directory.",
    ),
    "config.other-role": (
        "The mesh admitted this node's key with another role than arqon.yaml says now. A key keeps its role.",
        "Set node.role back, or make a new node with `arqon init --cluster NAME` in another data directory.",
    ),
    "trust.key-length": (
        "A key has another length than 32 bytes.",
        "The key or its file was cut or mixed up; restore it from a backup.",
    ),
    "trust.small-order-key": (
        "A public key under which signatures can be made to fit any message; no honest generator makes one.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.key-invalid": (
        "32 bytes that do not name a proper point of the curve, or do so in a second way.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.key-type": (
        "A certificate with another kind of key or signature than Ed25519.",
        "Nothing on this node; the other end is not ArqonMesh, or a proxy stands between.",
    ),
    "trust.key-file-missing": (
        "The node has no private key yet, or the data directory is another one.",
        "Give the right `--data-dir`, or put the key back from a backup; `arqon init --cluster NAME` makes a new node.",
    ),
    "trust.key-file-exists": (
        "A key file already stands there. It is never overwritten: it is the node's identity.",
        "Use another data directory, or move the file away knowingly.",
    ),
    "trust.key-file-open": (
        "Others than its owner have rights to the private key file.",
        "Run `chmod 600` on the file; if others may have read it, make a new node.",
    ),
    "trust.key-file-owner": (
        "The private key file belongs to another user than the one who runs the node.",
        "Run the node as that user, or `chown` the file.",
    ),
    "trust.key-file-unreadable": (
        "The private key file cannot be read.",
        "Look at the rights of the file and of the directories above it.",
    ),
    "trust.key-file-unwritable": (
        "The private key file cannot be written.",
        "Look at the rights of the directory and at the free space.",
    ),
    "trust.key-file-malformed": (
        "The private key file does not hold an Ed25519 key in PEM form.",
        "Restore it from a backup, or move it away and run `arqon init --cluster NAME` for a new identity.",
    ),
    "trust.no-certificate": (
        "The other end showed no certificate; both ends of a link must.",
        "Nothing on this node; the other end is not ArqonMesh, or a proxy stands between.",
    ),
    "trust.chain-length": (
        "The other end showed more or fewer certificates than its leaf and its node certificate.",
        "Nothing on this node; the other end is not ArqonMesh, or a proxy stands between.",
    ),
    "trust.malformed-certificate": (
        "The bytes shown as a certificate are none, or none of ours.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.node-signature": (
        "The node certificate is not signed by the key in it, so the peer did not prove to hold it.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.leaf-signature": (
        "The leaf certificate is not signed by the node key shown with it.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.leaf-key": (
        "The leaf certificate carries the node key itself instead of a fresh key.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.leaf-name": (
        "The leaf certificate needs one name arqon://MESH/CLUSTER/NODE that fits its node key.",
        "Nothing on this node; the peer is refused and counted.",
    ),
    "trust.not-yet-valid": (
        "The certificate begins in the future by more than clocks may differ.",
        "Compare the clocks of both machines (`timedatectl`), or raise `certificates.clock_skew_s`.",
    ),
    "trust.expired-leaf": (
        "The certificate ended by more than clocks may differ.",
        "On the peer run `arqon certs rotate`; compare the clocks of both machines (`timedatectl`).",
    ),
    "trust.ticket-malformed": (
        "The text is not a ticket.",
        "Copy the whole line that `arqon invite new --cluster NAME` printed; it begins with `arqon1`.",
    ),
    "trust.ticket-checksum": (
        "The ticket lost or changed a character on its way.",
        "Copy the whole line again.",
    ),
    "trust.ticket-signature": (
        "The ticket is not signed by the member that it names as inviter.",
        "Ask a member for a new one: `arqon invite new --cluster NAME`.",
    ),
    "trust.ticket-expired": (
        "The ticket's time is over.",
        "Ask a member for a new one: `arqon invite new --cluster NAME`.",
    ),
    "trust.ticket-unfit": (
        "A ticket cannot hold what was asked for: too many uses or addresses, or a name out of bounds.",
        "Give fewer or shorter values to `arqon invite new --cluster NAME`.",
    ),
    "trust.join-key-length": (
        "A join key is too short to be a secret, or too long.",
        "Choose 8 to 256 characters; several words are better than one.",
    ),
    "trust.join-key-salt": (
        "The salt that the mesh shows for its join key has a length that ours never have.",
        "The other end is not ArqonMesh, or means harm; check the address.",
    ),
    "wire.oversized": (
        "A peer sent, or announced, more bytes than a message of that kind may have. The stream was given up.",
        "Nothing on this node. See `arqon peer show ID`: the peer runs other software, or means harm.",
    ),
    "wire.truncated": (
        "A message ended in the middle of a value.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.too-deep": (
        "A message nests arrays deeper than any of ours does.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.too-many-items": (
        "A message holds more values than any of ours does; reading it would have cost the node memory and time.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.malformed": (
        "The bytes of a message are not CBOR.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.not-canonical": (
        "A message is CBOR but not the one deterministic encoding of its content, so signatures could differ.",
        "Nothing on this node; the sender's software does not encode as RFC 8949, 4.2 asks.",
    ),
    "wire.trailing": (
        "Bytes follow the end of a message.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.type": (
        "A message holds a kind of value that the mesh does not use: a float, a tag, a map key that is not text.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.schema": (
        "A message is well encoded, but its fields are not those of its type or out of their bounds.",
        "Compare `arqon version` on both nodes: fields differ between versions that do not fit together.",
    ),
    "wire.unknown-message": (
        "A message carries a tag that this version does not know.",
        "Compare `arqon version` on both nodes and update the older one.",
    ),
    # bus
    "bus.address": (
        "This is no address of a bus.",
        "Write ws://HOST:PORT or wss://HOST:PORT; `arqon node status` shows where the bus listens.",
    ),
    "bus.auth": (
        "The bus asks for a token or an API key, and the client showed none, or one that does not hold up.",
        "Send `Authorization: Bearer TOKEN`, or `?token=TOKEN` in the URL; `arqon sub ROOM:CHANNEL --token TOKEN` "
        "does. Tokens are made by your issuer or `arqon bus token`, keys by `arqon bus key new NAME`.",
    ),
    "bus.auth-expired": (
        "The token or API key has expired. A connected client is told `bus.auth.expiry_notice_s` before, and closed "
        "with 4401 unless it shows a newer one.",
        'Show a newer one: {"type": "authenticate", "args": {"token": "..."}}; compare the clocks of node and issuer.',
    ),
    "bus.auth-keys": (
        "The keys that tokens are checked with cannot be used: the file is missing, too large, holds no such key, or "
        "is a secret that others can read.",
        "Look at bus.auth.jwt in arqon.yaml: a secret of 32 bytes (chmod 0600), a public key in PEM (RSA or Ed25519), "
        "or a JWKS.",
    ),
    "bus.auth-not-yet": (
        "The token's `nbf` lies in the future.",
        "Wait, or compare the clocks of node and issuer; bus.auth.jwt.clock_skew_s allows for a difference.",
    ),
    "bus.auth-revoked": (
        "The API key was revoked; a client that used it was closed with 4401.",
        "Make another with `arqon bus key new NAME`; `arqon bus key ls` shows the state of all.",
    ),
    "bus.connections": (
        "As many connections come from this address as bus.connections_per_address_max allows (HTTP 429).",
        "Close some, or raise the limit; behind a load balancer all come from its address, so leave it at 0 there.",
    ),
    "bus.flood": (
        "The client sent far more than bus.rate_per_s or bus.rate_bytes_per_s for a while and was closed with 4429.",
        "Send more slowly: an error frame `bus.rate-limited` says each time how many frames were dropped.",
    ),
    "bus.forbidden": (
        "The client's role or permissions do not include this action on this channel (bus.auth.rooms).",
        'See who you are with {"type": "authenticate"}; ask for a token with the role or permission that is named.',
    ),
    "bus.key-ambiguous": ("Several API keys have this name.", "Name one by its prefix, from `arqon bus key ls`."),
    "bus.key-file": (
        "The file with the API keys, bus-keys.db in the data directory, cannot be opened or written.",
        "Check its owner and the free space; without it no key can be judged.",
    ),
    "bus.key-invalid": (
        "A name, tenant or permission is not of the form that keys and tokens take.",
        "A permission is ACTION:PATTERN, such as publish:plant:* or -join:secret:*; see `arqon bus key new --help`.",
    ),
    "bus.key-unknown": ("No API key has this prefix or name.", "List them with `arqon bus key ls`."),
    "bus.no-secret": (
        "This node has no secret of its own to sign tokens with: it checks tokens by public keys, or not at all.",
        "Ask the issuer for a token, or set bus.auth.jwt.secret_file to a file with 32 random bytes.",
    ),
    "bus.operator-token": (
        "The token for the node's own operator, operator.token in the data directory, cannot be written.",
        "Check the directory's owner and the free space.",
    ),
    "bus.open": (
        "The bus would listen where others reach it, and nothing says who may use it.",
        "Make an API key (`arqon bus key new NAME`), set bus.auth.jwt or bus.auth_token, listen on 127.0.0.1, or say "
        "bus.auth.anonymous: user if anyone is meant.",
    ),
    "bus.tenant": (
        "The tenant in the URL (/t/TENANT) and that of the token do not agree, is none, or tenants are not used here.",
        "Connect to /t/TENANT with a token or key of that tenant; bus.auth.tenants says what is allowed.",
    ),
    "bus.origin": (
        "A web page of another host asked for the bus; only pages of the node's own host name may, unless listed.",
        'List the page\'s origin in arqon.yaml, bus: {origins: ["https://app.example.org"]}, and restart the node.',
    ),
    "bus.handshake": (
        "The request to the bus's port is no WebSocket handshake of RFC 6455, version 13.",
        "Connect with a WebSocket client to ws://HOST:PORT/; health and metrics are on the port of listen.http.",
    ),
    "bus.stopping": ("The node stops, and takes no new clients.", "Connect to another node of the cluster, or later."),
    "bus.buffer-full": (
        "A client's sends wait for a connection, and there is no room for another.",
        "Await each publish, or send less while the client's state is not connected.",
    ),
    "bus.channel-missing": (
        "The frame names no channel, and the client has no subscription that could be meant.",
        'Name one: {"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}}.',
    ),
    "bus.channel-name": (
        "A channel is ROOM:CHANNEL of letters, digits and . _ - @ / + ~ # =; `*` stands for a whole side of it, never "
        "for a part: `room:*` to subscribe or to publish, `*:channel` and `*` only to subscribe.",
        "Use a name such as `telemetry:host`; an event to `room:*` reaches everyone in the room.",
    ),
    "bus.request-failed": (
        "Whoever was asked could not answer; the sentence is theirs.",
        "Look at the answering program's log.",
    ),
    "bus.request-timeout": (
        "Nobody answered a request in time.",
        'See who is there: {"type": "info", "channel": "ROOM:CHANNEL"}.',
    ),
    "bus.reserved-room": (
        "In the room $mesh only the mesh itself speaks: who is missing since when, and user events.",
        'Subscribe to it with {"type": "join", "channel": "$mesh"}; publish in a room of your own.',
    ),
    "bus.channel-fixed": (
        "The channel is named in bus.rooms, so it cannot be deleted.",
        "Take it out of bus.rooms in arqon.yaml and restart the node.",
    ),
    "bus.channels-full": (
        "Every channel that bus.channels_max allows has members, so none can make room for another.",
        "Raise bus.channels_max in arqon.yaml, or find who makes so many with `list_channels`.",
    ),
    "bus.clients-max": (
        "As many clients are connected as bus.clients_max allows; the new one was closed with code 1013.",
        "Try again later, or raise bus.clients_max in arqon.yaml.",
    ),
    "bus.closed": (
        "The connection to the bus ended.",
        "Look with `arqon node status`. `arqon sub ROOM:CHANNEL --reconnect` and BusClient.connect(reconnect=True) "
        "wait for the node to come back, and go on where they were.",
    ),
    "bus.frame-too-large": (
        "The frame is larger than bus.frame_bytes_max.",
        "Send it in parts, or raise bus.frame_bytes_max in arqon.yaml.",
    ),
    "bus.history-busy": (
        "Too many reads of the durable history are under way, or joins of this client wait for their past.",
        "Try again in a moment; `arqon node status` shows whether the disk keeps up.",
    ),
    "bus.invalid-field": (
        "The frame is JSON, but one of its fields has the wrong type or is out of bounds; `field` names it.",
        'See what fits: {"type": "help"}.',
    ),
    "bus.invalid-cbor": (
        "The client agreed on arqon.v1.cbor, and its frame is not CBOR that the bus takes: one map with text keys, "
        "without tags, at most 64 levels deep.",
        "Send what a CBOR library makes of the JSON envelope, in a binary frame.",
    ),
    "bus.invalid-json": (
        "The frame is not JSON in UTF-8, or is nested too deeply.",
        'See what fits: {"type": "help"}.',
    ),
    "bus.listen": (
        "The address in listen.bus cannot be had: it is taken, not ours, or needs more rights.",
        "`ss -ltnp` shows who has the port; set listen.bus in the node's arqon.yaml to a free HOST:PORT.",
    ),
    "bus.no-such-channel": (
        "The channel does not exist in this cluster: nobody is in it and nothing was published here.",
        'List them: {"type": "list_channels"}.',
    ),
    "bus.no-such-client": (
        "A private message names a client that is not connected to this cluster; the others got it.",
        'See who is there: {"type": "info", "channel": "ROOM:CHANNEL"}.',
    ),
    "bus.not-subscribed": (
        "The client is not in the channel that it leaves.",
        'Its subscriptions: {"type": "status"}.',
    ),
    "bus.overflow": (
        "An iterator of a client fell too far behind, on a socket that cannot be read more slowly.",
        "Take messages faster, or join fewer channels.",
    ),
    "bus.payload-unreadable": (
        "A message holds JSON that the client's language has no value for, such as the number 1e999.",
        "Python: `bytes(message.payload_)` is the payload as it came; ask its publisher to send what can be read.",
    ),
    "bus.payload-missing": ("The message has no payload.", "Add one; any JSON value will do."),
    "user-events.name": (
        "A user event has a name of 1 to 64 bytes; it says what happened, the payload says the rest.",
        "Choose a short name such as `deploy` and put details into the payload.",
    ),
    "user-events.size": (
        "A user event is sent to every node of the mesh, so its payload is at most 1,024 bytes.",
        "Send a link or an id and let the receivers fetch the rest.",
    ),
    "user-events.rate": (
        "Every user event goes to every node, so each node may send only user_events.rate_per_s of them.",
        "Send fewer, put several into one payload, or raise user_events.rate_per_s on all nodes.",
    ),
    "bus.rate-limited": (
        "The connections of one subject together send more than bus.rate_per_s frames or bus.rate_bytes_per_s bytes a "
        "second; the rest was dropped. `limit` says which, `counted_by` what a subject is here.",
        "Wait `retry_after_ms`, send more slowly, or raise the limit in arqon.yaml (0 is no limit).",
    ),
    "bus.slow-client": (
        "The client reads more slowly than it is sent to. By bus.slow.policy it is cut off (1008), or messages are "
        "dropped (it reads a `gap` notice with their number), or wait in a file.",
        "See who it is with `arqon bus clients --slow`; the client resumes with join_channel and `since`.",
    ),
    "bus.subject-connections": (
        "One subject (the `sub` of a token, the name of a key) may have bus.connections_per_subject_max connections "
        "at a time at one node; one more is closed with 1013.",
        "Close one, or raise bus.connections_per_subject_max in arqon.yaml; `arqon bus clients` shows them.",
    ),
    "bus.subscriptions-full": (
        "One client may hold as many subscriptions as bus.subscriptions_max says, and all connections of one subject "
        "together as many as bus.subscriptions_per_subject_max.",
        "Leave some, or subscribe to a whole room: `room:*`.",
    ),
    "bus.target-missing": ("A private message names nobody.", 'Add `to`: {"type": "private", "to": ["arq_..."]}.'),
    "bus.timeout": ("The bus did not answer in time.", "Check the address and `arqon node status`."),
    "bus.unknown-command": ("The bus does not know this command.", 'See them all: {"type": "help"}.'),
    "bus.unknown-type": ("A client may not send frames of this type.", 'See what fits: {"type": "help"}.'),
    "bus.unreachable": (
        "Nothing answers as a bus at this address.",
        "Check the address; `arqon node status` shows where the bus listens.",
    ),
    # http
    "telemetry.clients-max": (
        "As many clients watch the telemetry as `telemetry.clients_max` allows.",
        "Raise it in arqon.yaml, or let dashboards share a connection.",
    ),
    "telemetry.event-type": (
        "A telemetry event says in `eventType` what happened.",
        'Add it: {"type": "telemetry", "eventType": "door.opened", "payload": {"door": 3}}.',
    ),
    "telemetry.field": ("A field of a telemetry frame has another type than it needs, or is too long.", "Correct it."),
    "telemetry.filter": (
        "A telemetry client may ask for 64 patterns of each kind, of 128 characters each.",
        "Ask for fewer; a pattern may end in `*`.",
    ),
    "telemetry.json": ("A frame on the telemetry port is not JSON.", "Send one JSON object per text frame."),
    "telemetry.payload": ("The telemetry event has no payload.", "Add one; any JSON value but null will do."),
    "telemetry.rate-limited": (
        "The telemetry client sends more events per second than `telemetry.rate_per_s`.",
        "Send more slowly, or put several measurements into one event.",
    ),
    "telemetry.role": ("Guests may read telemetry and send none.", "Connect with a token of the role user."),
    "telemetry.tenant": (
        "Telemetry tells of all tenants of a node, so a token or key of one of them does not open it.",
        "Use a token or key without a tenant: `arqon bus key new NAME`.",
    ),
    "telemetry.type": (
        "A telemetry client may send frames of the types telemetry, subscribe, unsubscribe and ping.",
        "Everything else belongs on the bus: listen.bus.",
    ),
    "http.admin": (
        "This endpoint changes something or names the clients, so it asks for an admin's token or API key.",
        "`arqon bus key new NAME --role admin`, and send it as `X-API-Key`.",
    ),
    "http.body": (
        "The body of the request is not JSON, or is over 64 KiB.",
        "GET /openapi.json tells what fits.",
    ),
    "http.content-type": ("A body needs to say that it is JSON.", "Send `Content-Type: application/json`."),
    "http.head": ("The request's line and headers are over 8 KiB.", "Send shorter parameters."),
    "http.host": (
        "The request shows no token or key and asks by a name. Any web page's owner can make a name lead to this "
        "machine (DNS rebinding), and a bus that trusts loopback would answer the page.",
        "Ask for localhost or 127.0.0.1, or show a key: `arqon bus key new NAME`, `X-API-Key: KEY`.",
    ),
    "http.internal": (
        "The node failed to answer; the bus is not concerned.",
        "`arqon node logs` has the trace; report it.",
    ),
    "http.malformed": (
        "What was sent is not HTTP/1.1 (RFC 9112).",
        "Use an HTTP client: curl http://HOST:PORT/health.",
    ),
    "http.method": ("The endpoint does not serve this method.", "The `Allow` header names those that it does."),
    "http.not-found": ("Nothing is served at this path.", "GET / lists what is."),
    "http.parameter": ("A parameter or a field of the body does not fit.", "GET /openapi.json tells what does."),
    "http.target": ("The request's target cannot be read as a URL.", "Percent-encode what is no letter or digit."),
    "http.timeout": ("The request did not arrive whole in time.", "Send it at once."),
    "http.too-many": ("As many HTTP connections are open as the node takes.", "Close idle ones, or try again later."),
    "http.version": ("HTTP/1.1 and 1.0 are spoken here.", "Use a client that speaks them."),
    "http.listen": (
        "The address in listen.http cannot be had: it is taken, not ours, or needs more rights.",
        "`ss -ltnp` shows who has the port; set listen.http in the node's arqon.yaml to a free HOST:PORT.",
    ),
    # control socket
    "api.already-running": (
        "Another process serves this node's control socket; one data directory is one node.",
        "Use that one (`arqon node status`), or end it with `arqon node stop`, or give another --data-dir.",
    ),
    "api.denied": (
        "The control socket is another user's; only the user that runs the node, and root, control it.",
        "Run the command as that user.",
    ),
    "api.deadline": (
        "The node runs and did not answer in time, or took no calls; it is overloaded, stuck or stopped.",
        "Look with `arqon node logs` and `ps -o stat= -p PID`: T is stopped, and `kill -CONT PID` lets it go on; "
        "a stuck node is ended with `arqon node stop --force`.",
    ),
    "api.failed": ("The control call ended in a way this version does not know.", "Look with `arqon node logs`."),
    "api.internal": (
        "The node failed on a control call in a way nobody foresaw; its log has the whole trace.",
        "Look with `arqon node logs` and report it with that trace.",
    ),
    "api.join-request": ("A join needs a ticket or an address, not both.", "`arqon mesh join TICKET`"),
    "api.not-running": (
        "No process listens on the control socket of this data directory.",
        "Start it with `arqon node start`; check --data-dir, ARQON_DATA_DIR and --context.",
    ),
    "api.socket-bind": (
        "The control socket could not be made in the data directory.",
        "Check that the directory exists, is yours, and holds no other file under the socket's name.",
    ),
    "api.socket-path": (
        "The kernel holds at most 107 bytes of a Unix socket's path, and the data directory's path is longer.",
        "Choose a data directory with a shorter path.",
    ),
    "api.version": (
        "Command and node are of different versions, and the node does not know this call.",
        "Restart the node with the version of the command.",
    ),
    # store
    "store.busy": (
        "Another program held the write lock of the node's database for seconds; the node stopped rather than wait.",
        "Find it with `fuser mesh.db`, end its transaction, and start the node again.",
    ),
    "store.corrupt": (
        "The node's database is damaged. It was neither repaired nor overwritten.",
        "Put a backup in its place, or move it away: with its key the node gets the mesh's records from its peers.",
    ),
    "store.foreign": (
        "The file where the node's database should be belongs to another program. It was not touched.",
        "Choose another --data-dir, or move that file away.",
    ),
    "store.full": (
        "The disk is full; the node stopped, because what it promises must be on disk first.",
        "Free some space (`df -h`) and start the node again; nothing that was promised is lost.",
    ),
    "store.in-use": (
        "Another process has this data directory open; one data directory is one node.",
        "Use that one (`arqon node status`), stop it, or give another --data-dir.",
    ),
    "store.io": (
        "The disk refused a write. The node stops: after a failed write nothing more can be promised.",
        "Look at `dmesg` and the disk, then start the node again.",
    ),
    "store.log-lost": (
        "history.db was in use when its node crashed, and the log beside it (history.db-wal) is missing or damaged.",
        "What it held is gone here; other nodes of the cluster give back what they have. Copy both files, or neither.",
    ),
    "store.newer": (
        "The database was written by a newer version of ArqonMesh.",
        "Upgrade this one; there is no way back to an older schema.",
    ),
    "store.redis": (
        "Redis, which keeps the bus's history, does not answer.",
        "Look with `redis-cli ping`; the node goes on without it and brings it up to date when it is back.",
    ),
    "store.redis-key": (
        "A key that the bus's history needs in Redis holds something else; what belongs there is skipped and counted.",
        "See `redis-cli type KEY` and whose it is; once it is renamed or deleted, writing there goes on.",
    ),
    "store.redis-url": (
        "bus.history.redis_url is not an address of a Redis.",
        "Write it as redis://HOST:PORT/DB (rediss:// for TLS), or leave it empty.",
    ),
    "store.removed": (
        "history.db was removed or replaced under the running node, which goes on writing to the file without a name.",
        "Start the node again; what was kept meanwhile is in its memory and at the other nodes of the cluster.",
    ),
    "store.stalled": (
        "The disk falls so far behind that memory would fill; the node stopped rather than drop anything.",
        "Look at `dmesg` and the disk's load, then start the node again.",
    ),
    "store.unwritable": (
        "The data directory or the database in it cannot be written.",
        "Check owner and mode (`ls -ld`), and that the file system is not read-only.",
    ),
    # admission
    "admission.bad-signature": (
        "A signature in the answer to the join request does not hold; the answering node lies or is broken.",
        "Join at another member, and tell the operator of this one.",
    ),
    "admission.closed": (
        "The mesh takes no new nodes, not even with a ticket.",
        "Ask the founder's operator to open it.",
    ),
    "admission.cluster-name": (
        "The joining node's cluster name is not a valid one.",
        "Set `node.cluster` in its arqon.yaml to a name such as `factory`, restart it and join again.",
    ),
    "admission.key-mismatch": (
        "The join request carries another node key than the connection was authenticated with.",
        "Restart the joining node, so that it uses one identity, and join again.",
    ),
    "admission.key-needed": (
        "The mesh lets nodes in by its join key or by ticket, and the request had neither.",
        "`arqon mesh join --address HOST:PORT --key KEY`, or ask a member for a ticket "
        "(`arqon invite new --cluster NAME`).",
    ),
    "admission.malformed-statement": (
        "The answer to the join request holds something that is not a signed statement.",
        "Compare `arqon version` on both nodes, then join again.",
    ),
    "admission.no-genesis": (
        "The answer to the join request does not prove who founded the mesh, so nothing in it can be believed.",
        "Ask for a new ticket; if it happens again, the admitting node is not of this mesh.",
    ),
    "admission.no-policy": (
        "The member that was asked has not received the mesh's join policy yet.",
        "Try again in a few seconds, or at another member.",
    ),
    "admission.ticket-cluster": (
        "A ticket lets nodes of one cluster in, and this node is of another.",
        "Ask for a ticket for this cluster: `arqon invite new --cluster NAME`.",
    ),
    "admission.ticket-expired": (
        "The ticket's time is over, by the clock of the member that was asked.",
        "Ask for a new one: `arqon invite new --cluster NAME --expires 1h`; check both clocks if it should still hold.",
    ),
    "admission.ticket-needed": (
        "The mesh has no join key, so only tickets let nodes in.",
        "Ask a member for one: `arqon invite new --cluster NAME`.",
    ),
    "admission.ticket-revoked": (
        "The ticket was taken back by its inviter or by the founder.",
        "Ask for a new one: `arqon invite new --cluster NAME`.",
    ),
    "admission.ticket-role": (
        "A ticket lets nodes of one role in, and this node asks for another.",
        "Set `node.role` as the ticket says, or ask for another: `arqon invite new --cluster NAME --role ROLE`.",
    ),
    "admission.ticket-signature": (
        "The request was not signed with the ticket's one-time key: the ticket was altered, or overheard and replayed.",
        "Copy the ticket's line again, whole; else ask for a new one.",
    ),
    "admission.ticket-unknown": (
        "The member that was asked knows no invite with this ticket's id.",
        "If the ticket is new, try again in a few seconds; else ask for a new one: `arqon invite new --cluster NAME`.",
    ),
    "admission.ticket-used-up": (
        "The ticket has let in as many nodes as it was made for.",
        "Ask for a new one: `arqon invite new --cluster NAME --uses N`.",
    ),
    "admission.unknown-role": (
        "Roles are hub, spoke and leader.",
        "Correct `node.role` in the joining node's arqon.yaml, restart it and join again.",
    ),
    "admission.wrong-key": (
        "The join key is not the one of this mesh.",
        "Ask for the key again, or for a ticket: `arqon invite new --cluster NAME`.",
    ),
    "admission.wrong-mesh": (
        "The two nodes speak of different meshes; meshes with different ids never mix.",
        "Check the ticket or the address: `arqon mesh status` on the member shows its mesh.",
    ),
    # configuration
    "config.data-dir": (
        "The data directory holds the node's key, so it has to be a directory that only its owner can write.",
        "Make it this user's alone (`chmod 0700`), or choose another with --data-dir or ARQON_DATA_DIR.",
    ),
    "config.duplicate-key": ("A setting stands twice in one section of arqon.yaml.", "Keep the one that is meant."),
    "config.missing-file": (
        "There is no arqon.yaml in the data directory, or no file of the name that was given.",
        "`arqon init --cluster NAME` writes one; a node that is there keeps its identity. Look at the name with `ls`.",
    ),
    "config.missing-key": ("A setting without a default is not given.", "Add it where the message says."),
    "config.pattern": (
        "A rule names channels by a pattern that no channel can match, so that it would let nothing through and keep "
        "nothing in: every channel is ROOM:CHANNEL, a tenant's TENANT|ROOM:CHANNEL.",
        "Write `telemetry:*` for a room, `telemetry:host` for one channel, `*` for everything; a channel that is "
        "published without a room is in the one that bus.names.room says, `default`.",
    ),
    "config.relation": (
        "A setting does not fit another one, or its text has not the form that it needs.",
        "Change one of the two; docs/reference/config.md describes both.",
    ),
    "config.syntax": (
        "arqon.yaml is not the YAML that is read here: mappings, lists, plain and quoted values, no tags.",
        "Look at the line and the column; indentation is two spaces, and text with `:` or `#` needs quotes.",
    ),
    "config.too-large": (
        "A settings file has at most 256 KiB, 16 levels and 10,000 values, aliases followed.",
        "Check that this is the file that was meant.",
    ),
    "config.type": (
        "A setting has a value of another kind, or out of its bounds.",
        "The message says what fits; docs/reference/config.md says what it does.",
    ),
    "config.unknown-key": (
        "There is no setting of this name; unknown names are errors, because a typo would change nothing silently.",
        "Use the name that the message suggests, or look in docs/reference/config.md.",
    ),
    "config.unreadable": ("The settings file cannot be read.", "Check its owner and mode: `ls -l`."),
    # the command
    "sim.baseline": (
        "The file is no result of an earlier search.",
        "`arqon sim explore --save FILE` writes one; give that to `arqon sim compare FILE`.",
    ),
    "sim.fail": ("What shall fail was not understood.", "Write link:A-B, node:A or site:A after --fail."),
    "sim.no-plan": (
        "This scenario is a fixed story and draws no plan that could be saved.",
        "`arqon sim run swarm --save FILE` saves one.",
    ),
    "sim.no-plots": (
        "Pictures need matplotlib, which is an extra of the package.",
        "Install arqonmesh[plots], or leave out --plot: the table and its bars need nothing.",
    ),
    "sim.nodes": ("So many files make no mesh for the simulator.", "Give 2 to 32 arqon.yaml files, one per node."),
    "sim.plan": (
        "The file is no plan, or names a node that the plan does not have.",
        "`arqon sim run swarm --save FILE` writes one, and so does a run that breaks a rule.",
    ),
    "sim.save": ("The simulator could not write its file.", "Choose a path that can be written."),
    "sim.scenario": ("The simulator knows no such scenario.", "`arqon sim scenarios` lists them."),
    "sim.span": (
        "The times of the story do not fit each other.",
        "--at comes before --heal-at, and both before the end, --for.",
    ),
    "sim.unknown-name": (
        "No node, link or site of the given files has this name.",
        "Nodes are called after their clusters, or their files where clusters repeat; the message lists them.",
    ),
    "cli.address": ("An address on the command line has no form that works.", "Write quic://HOST:PORT or HOST:PORT."),
    "cli.already-initialised": (
        "The directory holds a node already; its identity would be lost with its key.",
        "Use that node, or give another --data-dir.",
    ),
    "cli.code": ("No error has this code.", "`arqon explain` lists them all."),
    "cli.context": (
        "No running demo or lab has given a node this name.",
        "Start `arqon demo`, or name the node by --data-dir.",
    ),
    "cli.context-taken": (
        "A running demo has given its nodes these names; a second one would take them away from it.",
        "Go on with that one, or end it: `q` in its terminal, or `kill PID`.",
    ),
    "cli.duration": ("A span of time could not be read.", "Write a number and a unit: 500ms, 90s, 15m, 1h, 7d, 1h30m."),
    "cli.follow-ended": (
        "The node ended a stream of events that was to go on: it tells the newest 32 watchers at once.",
        "Follow again, and end another that is not needed: `arqon mesh events --follow`, a live screen.",
    ),
    "cli.join": (
        "A join needs a ticket, or a member's address with the mesh's key, and not both.",
        "`arqon mesh join TICKET`, or `arqon mesh join --address HOST:PORT --key KEY`",
    ),
    "cli.line-too-long": (
        "A line of standard input is larger than one message may be.",
        "Split the lines before `arqon pub ROOM:CHANNEL -`.",
    ),
    "cli.no-log": (
        "A node in the foreground logs to its terminal; only --detach writes node.log.",
        "Start it with `arqon node start --detach`.",
    ),
    "cli.no-node": (
        "The data directory holds no node, or one without its arqon.yaml.",
        "`arqon init --cluster NAME` makes one, or writes the file again and keeps the identity; check --data-dir.",
    ),
    "cli.runtime-dir": (
        "The directory that holds the names of running demos can be written by others, who could mislead commands.",
        "Make it yours alone, with mode 0700, or set XDG_RUNTIME_DIR.",
    ),
    "cli.seed-key": ("A join key has a use only under the join policy `key`.", "Leave out --key, or use --policy key."),
    "cli.start-died": (
        "The process ended before the node was ready, without saying why over its pipe.",
        "Look with `arqon node logs`, or start it in the foreground.",
    ),
    "cli.start-timeout": (
        "The node was not ready in time; it is left running.",
        "Look with `arqon node logs`; a longer --timeout helps on a slow machine.",
    ),
    "cli.stop-timeout": (
        "The node did not end in time; it may still be handing over what it holds.",
        "Wait, or end it with `arqon node stop --force`; what is on disk is safe.",
    ),
    "cli.stop-unseen": (
        "A node answers, but its process is not visible here, so that its end cannot be seen, nor can it be killed.",
        "Run the command where the node runs: in its container, that is, in its PID namespace.",
    ),
    "cli.sub-timeout": (
        "Fewer messages came than were asked for.",
        "See whether the channel is exported: `arqon policy show` on the publisher's node.",
    ),
    "cli.unforeseen": (
        "The command failed in a way nobody foresaw.",
        "Run it again with ARQON_DEBUG=1 and report the trace.",
    ),
    "cli.not-text": (
        "An argument, or a line of standard input for `arqon pub`, holds bytes that are not UTF-8.",
        "Write it in UTF-8; `iconv -t UTF-8` converts.",
    ),
    "cli.usage": ("The command line does not fit the command.", "Add --help to see its form and an example."),
    "demo.bus": ("A bus of the demo refused a message of the demo.", "Report it with the message."),
    "demo.command": ("A command that the demo runs gave no answer.", "Run that command by hand to see more."),
    "demo.leaked": (
        "A message on a channel that no rule exports arrived in another cluster.",
        "This must not happen: report it with the output of `arqon demo --once --json`.",
    ),
    "demo.lost": (
        "An exported message did not arrive although its links were up.",
        "Run it again on a less busy machine; if it stays, report it.",
    ),
    "demo.node-ended": (
        "The process of a node of the demo ended before the demo did: killed, or out of memory.",
        "Nothing is left of it. Start `arqon demo` again; if it ends again, look for who kills it with `dmesg`.",
    ),
    "demo.not-linked": (
        "The demo's nodes could not reach each other on this machine.",
        "Loopback UDP must be allowed (firewall, sandbox).",
    ),
    "demo.twice": ("A message arrived twice or out of order.", "This must not happen: report it."),
    "demo.unjudged": (
        "Messages stayed in their cluster, and no verdict with a rule is on record for that.",
        "This must not happen: report it.",
    ),
    "lab.busy": (
        "Another command is building this lab or taking it down.",
        "Wait for it, or end it with Ctrl-C; it takes down what it built.",
    ),
    "lab.command": (
        "An `arqon` command that the lab ran for one of its nodes gave no answer.",
        "Run that command by hand with the node's --data-dir, which `arqon lab status` shows.",
    ),
    "lab.directory": (
        "The directory for labs can be written by others, so its files cannot be trusted.",
        "Remove it, or set ARQON_LAB_DIR to a directory of your own.",
    ),
    "lab.file": (
        "A topology or scenario file holds something that no lab can do.",
        "Change what the message names; the files that come with the lab are examples.",
    ),
    "lab.is-up": ("A lab of this name is up already.", "Run `arqon lab down`, or set ARQON_LAB_NAME for a second one."),
    "lab.model": (
        "A link model was given a figure that it does not have or cannot be.",
        "Use the names and bounds told.",
    ),
    "lab.name": ("The name of a lab becomes part of namespace names.", "Set ARQON_LAB_NAME to 1 to 12 of a-z and 0-9."),
    "lab.namespace-gone": (
        "A network namespace of the lab was removed by someone else.",
        "Run `arqon lab down`, then `arqon lab up`.",
    ),
    "lab.no-link": (
        "The lab's topology has no link between these two nodes.",
        "Name two that `arqon lab status` shows.",
    ),
    "lab.no-node": ("The lab has no node of this name.", "Run `arqon lab status` for those it has."),
    "lab.no-scenario": ("There is no scenario of this name and no such file.", "Use one of those told, or a path."),
    "lab.no-topology": ("There is no topology of this name and no such file.", "Use one of those told, or a path."),
    "lab.node-ended": ("A node of the lab ended right after its start.", "Its last log lines are in the message."),
    "lab.not-up": ("No lab is up.", "Run `arqon lab up star3` as root."),
    "lab.order": (
        "The lab's switch was told something it does not know.",
        "Use `arqon lab cut A B` and `arqon lab heal`.",
    ),
    "lab.rights": (
        "A lab makes network namespaces and TUN interfaces, which needs root and /dev/net/tun.",
        "Run it with sudo; in a container, with CAP_SYS_ADMIN, CAP_NET_ADMIN and the device.",
    ),
    "lab.state": ("The lab's own notes cannot be read.", "Run `arqon lab down`, which does without them."),
    "lab.switch-died": ("The lab's switch ended before it was ready.", "Its last words are in the message."),
    "lab.switch-late": ("The lab's switch did not answer in time.", "Run `arqon lab down`, then `arqon lab up`."),
    "lab.traffic": (
        "A bus client of a scenario lost its bus or was refused.",
        "Look at the node's log; with ARQON_LAB_KEEP=1 a failed lab stays up.",
    ),
    # links between nodes
    "join.answer": (
        "The member answered out of turn during a join.",
        "Compare `arqon version` on both nodes.",
    ),
    "join.broken": (
        "The connection ended in the middle of the join.",
        "The command tries again for as long as --timeout says; after that, `arqon node logs` on the member says why.",
    ),
    "join.busy": (
        "Too many nodes join through this member at the same moment.",
        "The command tries again for as long as --timeout says; or join through another member.",
    ),
    "join.known-otherwise": (
        "This node's key was admitted with another cluster or role than arqon.yaml says. A key keeps both for life, "
        "or anybody who holds it could move to where it was not let in.",
        "Set node.cluster and node.role back, or make a new key: `arqon init --cluster NAME --data-dir DIR`.",
    ),
    "join.no-address": ("The ticket names no address that could be dialled.", "Ask for a new ticket."),
    "join.no-key-set": (
        "The mesh has no join key.",
        "Join with a ticket: `arqon invite new --cluster NAME` on a member.",
    ),
    "join.no-mesh": (
        "The node that was asked belongs to no mesh, or has just left it.",
        "Use the address of a member.",
    ),
    "join.not-stored": (
        "The member could not write the admission in time, so it was not made.",
        "Try again; `arqon node logs` and `arqon node status` on the member say what its store does.",
    ),
    "join.other-cluster": (
        "A ticket is for one cluster, and this node is of another.",
        "Ask for a ticket for this node's cluster, or change node.cluster before the first join.",
    ),
    "join.other-role": (
        "A ticket is for one role, and arqon.yaml says another.",
        "Ask for a ticket for this role, or change node.role before the first join.",
    ),
    "trust.other-mesh": (
        "Another mesh answered at the ticket's address than the one that the ticket is for.",
        "Ask for a new ticket; the member may have left its mesh and seeded another.",
    ),
    "trust.unproven-admission": (
        "The member said yes, but what it showed does not prove our membership from the founder down.",
        "Join through another member, and tell whoever runs this one.",
    ),
    "trust.bootstrap": (
        "What this node keeps of its own admission holds something that it cannot read.",
        "It was written by a newer version, or damaged: upgrade, or restore mesh.db from a backup.",
    ),
    "invite.no-address": (
        "A ticket names where to dial, and this node does not know its own address.",
        'Set listen.advertise: ["HOST:PORT"] in arqon.yaml (a list) and start the node again.',
    ),
    "invite.not-allowed": (
        "Hubs, leaders and the founder invite.",
        "Run `arqon invite new --cluster NAME` on one of them.",
    ),
    "invite.not-yours": ("A ticket is revoked by its maker or by the founder.", "Run it on that node."),
    "invite.role": ("A role is one of hub, spoke, leader.", "Choose one of them."),
    "invite.unknown": ("No ticket has this id.", "See `arqon invite ls`."),
    "mesh.already": ("A node belongs to one mesh at a time.", "Run `arqon mesh leave` first."),
    "mesh.name": (
        "The name of a mesh has 1 to 63 characters of a-z, 0-9, '.', '_' or '-', and begins with a letter or digit.",
        "Choose another one; nodes know the mesh by its id, people by this name.",
    ),
    "mesh.none": (
        "The command needs a mesh, and this node belongs to none.",
        "Run `arqon mesh seed NAME`, or `arqon mesh join TICKET`.",
    ),
    "mesh.read-only": (
        "This side of the mesh does not reach a quorum of its voters, so nothing that changes the membership or its "
        "rules is accepted here; otherwise two sides of a cut could each go their own way.",
        "Run `arqon mesh status` to see who is missing and since when, and bring them back; or ask on the other side. "
        "Whom this node banned does not count here: `arqon peer forgive ID` undoes that.",
    ),
    "mesh.policy": ("A join policy is one of open, key, closed.", "Choose one of them."),
    "peer.is-cluster": (
        "What was given is the name of a cluster, and a node was meant.",
        "Give the beginning of one node's id; the message lists those of the cluster.",
    ),
    "peer.is-self": (
        "What was given names this node itself, and another member was meant.",
        "See `arqon peer ls`; `arqon node status` shows this node.",
    ),
    "peer.ambiguous": ("Several members' ids begin so.", "Give more of the id; `arqon peer ls` shows them."),
    "policy.target": (
        "Nobody in the mesh is meant by this target.",
        "Name the beginning of a member's id, a cluster or a region: `arqon peer ls` has them.",
    ),
    "peer.unknown": (
        "No member's id begins so; CLUSTER/ID is taken, too, and then both must fit.",
        "See `arqon peer ls`.",
    ),
    "link.unknown": ("No such link was added by hand on this node.", "See `arqon link ls`."),
    "store.slow": (
        "The store did not confirm a write in time. It may still be written later.",
        "Look at the disk; `arqon node status` and `arqon node logs` say what the store does.",
    ),
    "store.damaged-mesh-identity": (
        "The stored rows that say to which mesh this node belongs contradict each other.",
        "Restore mesh.db from a backup, or move it away, start the node and join again.",
    ),
    "join.node-key": (
        "A join request was for another node key than that of its certificate.",
        "Join from the node that shall become a member.",
    ),
    "join.not-offered": (
        "This member takes no joiners: it is in no mesh, or the mesh is closed.",
        "Use another member's address, or a ticket made by a member that admits.",
    ),
    "join.repeated": (
        "A second request came on one join connection.",
        "Nothing; each attempt makes a connection of its own.",
    ),
    "join.request": (
        "The joiner's message was no join request.",
        "Compare `arqon version` on both nodes.",
    ),
    "join.timeout": (
        "The member did not answer in time.",
        "Is the address the member's QUIC address, and UDP open on the way?",
    ),
    "join.too-large": (
        "The proof of membership does not fit one frame.",
        "Join through a member with fewer statements, or report it: a mesh this large needs a newer version.",
    ),
    "join.too-many": (
        "So many joins are under way at this member that it takes no more.",
        "Wait half a minute, or join through another member.",
    ),
    "link.address": (
        "An address is HOST:PORT, [IPV6]:PORT or quic://HOST:PORT.",
        "Write it so, for example `arqon link add quic://10.0.0.7:9130`.",
    ),
    "link.alpn": (
        "The other end speaks neither the mesh's nor the join protocol, in no version that this one knows by name.",
        "Check the address and port; compare `arqon version` on both nodes.",
    ),
    "link.closed": (
        "The node is stopping and opens no connections any more.",
        "Start it again with `arqon node start`.",
    ),
    "link.connection-limit": (
        "This node holds as many connections as it ever does, links and handshakes together.",
        "See `arqon link ls`; connect through other members, or look for whoever opens so many.",
    ),
    "link.early": (
        "Bytes for a lane came before the Hello, more than are kept.",
        "Nothing on this node; the peer runs other software, or means harm.",
    ),
    "link.family": (
        "The address is IPv6 and the node's socket is IPv4 only.",
        "Set `listen.quic` to `[::]:9130` in arqon.yaml, which takes both.",
    ),
    "link.forgotten": (
        "The wish for this link was taken back while it was being dialled.",
        "`arqon link add ADDRESS` if it is wanted after all.",
    ),
    "link.frame-failed": (
        "The node at the other end failed on a message of this link, so the link begins anew.",
        "Report it, with that node's log.",
    ),
    "link.half-open-limit": (
        "So many handshakes were under way that a new one was not taken; it is retried by itself.",
        "Nothing, if it passes. If it stays, somebody floods the port: see `arqon node logs`.",
    ),
    "link.handshake": (
        "A handshake ended without a link and without a reason of its own.",
        "See `arqon link ls` on the dialling node: its last error says more.",
    ),
    "link.handshake-timeout": (
        "No answer, or half an answer, within `links.handshake_ms`, 20 s unless it is set.",
        "Is the node up, the address its QUIC address, and UDP open on the way? `arqon link ls` shows the next try.",
    ),
    "link.hello": (
        "The first message on a link was not the Hello of the node whose certificate was shown.",
        "Compare `arqon version` on both nodes.",
    ),
    "link.lane": (
        "A frame on a link with one lane named no lane.",
        "Nothing on this node; the peer runs other software, or means harm.",
    ),
    "link.listen": (
        "The address to listen on is taken, or is none of this machine's.",
        "`ss -ulnp` shows who has the port; set `listen.quic` in arqon.yaml.",
    ),
    "link.name": (
        "A host name could not be resolved.",
        "Check the name and this machine's resolver; an IP address needs none.",
    ),
    "link.no-datagrams": (
        "The peer's QUIC takes no DATAGRAM frames, which heartbeats need.",
        "Compare `arqon version` on both nodes.",
    ),
    "link.no-mesh": (
        "The node belongs to no mesh yet, so it has no members to link to.",
        "`arqon mesh seed NAME` or `arqon mesh join TICKET`.",
    ),
    "link.other-node": (
        "Another node than the wanted one answers at this address.",
        "Compare `arqon node status` there; the address may have moved on to another machine.",
    ),
    "link.quic-core": (
        "The installed aioquic does not behave as ArqonMesh needs; links would not be authenticated.",
        "Install the version that pyproject.toml names: `pip install 'aioquic>=1.7.2,<1.8'`.",
    ),
    "link.quic-error": (
        "The QUIC library failed on what this peer sent. Only this connection was ended.",
        "Report it with `arqon node logs`; the link is dialled again by itself.",
    ),
    "link.reassembly": (
        "A peer sent far ahead of a gap that it did not fill, more than is kept.",
        "Nothing on this node; the peer runs other software, or means harm.",
    ),
    "link.replaced": (
        "A newer connection of the same peer took the link over, usually because it restarted.",
        "Nothing; this is how a restarted peer comes back at once.",
    ),
    "link.self": (
        "The address leads back to the node that dialled it.",
        "`arqon link rm ADDRESS`, and add the other node's address.",
    ),
    "link.stream": (
        "Bytes came on a QUIC stream that is none of the link's lanes.",
        "Nothing on this node; the peer runs other software, or means harm.",
    ),
    "link.removed": (
        "The other side had added this link by hand, and has taken that back.",
        "`arqon link add ADDRESS` on this side, if it is wanted from here.",
    ),
    "link.superseded": (
        "Two nodes dialled each other at once; one of the two connections was kept.",
        "Nothing; the link stands.",
    ),
    "link.version": (
        "The two nodes speak different versions of the mesh or the join protocol; the message names both. Nothing was "
        "exchanged, and neither holds it against the other.",
        "`arqon version` on both, then update the older one: it keeps its data directory, its place and its score.",
    ),
    "trust.hello-signature": (
        "The Hello is not signed by the peer's node key for this very connection: a replay, a relay or damage.",
        "Nothing on this node if it is rare; `arqon peer show ID` counts the cases.",
    ),
    "trust.unknown-key": (
        "The peer is no member in this node's roster.",
        "`arqon mesh join TICKET` on the peer; a fresh member is known here once gossip has told. One that was down "
        "for longer than `gossip.tombstone_horizon_s` may have been let go: `arqon mesh leave` there first.",
    ),
    "trust.wrong-mesh": (
        "The peer belongs to another mesh.",
        "Compare `arqon mesh status` on both nodes; check the address.",
    ),
}
