package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"silod/auth"
	"silod/clock"
	"silod/config"
	"silod/db"
	"silod/delivery"
	"silod/imc"
	"silod/limit"
	"silod/proxy"
	"silod/registrar"
	"silod/router"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
	"silod/watch"
)

// start creates the parts of a daemon in the order of their dependencies, opens its
// databases and sockets, and loads its state. After an error nothing is left open.
func start(ctx context.Context, cfg *config.Config, file string, logs io.Writer) (*daemon, error) {
	set, err := settingsOf(cfg, cfg.Auth.Mode)
	if err != nil {
		return nil, err
	}
	d := &daemon{cfg: cfg, applied: cfg, file: file, level: new(slog.LevelVar), domains: sip.NewDomains(), names: set.domains}
	d.domains.Configure(d.names)
	d.level.Set(set.logLevel)
	d.log = newLogger(cfg.Log.Format, d.level, logs)
	d.clock = clock.New(clock.Options{Log: d.log})
	d.stopped, d.stop = context.WithCancel(context.Background())
	defer d.systemd.starting()()
	for _, step := range []func(context.Context, settings) error{
		d.openDatabases, d.openSockets, d.buildGuard, d.buildServices, d.load, d.openManagement, d.openHTTP,
	} {
		if err := step(ctx, set); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	for _, n := range cfg.Notes() {
		d.log.Warn("configuration", "key", n.Key, "line", n.Line, "note", n.Text)
	}
	return d, nil
}

func newLogger(format string, level *slog.LevelVar, w io.Writer) *slog.Logger {
	opt := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, opt)
	if format == "json" {
		h = slog.NewJSONHandler(w, opt)
	}
	return slog.New(faultLog{h, &faults{counts: make(map[string]faultCount)}})
}

// openDatabases opens the database of [db], and those of [silo] and [imc] if they are
// others.
func (d *daemon) openDatabases(ctx context.Context, _ settings) error {
	err := config.MakeDir(d.cfg.Dirs.State)
	if err != nil {
		return err
	}
	if d.database, err = d.openDatabase(ctx, d.cfg.DB.URL); err != nil {
		return err
	}
	if d.siloDB, err = d.databaseAt(ctx, d.cfg.SiloDB()); err != nil {
		return fmt.Errorf("silo.db_url: %w", err)
	}
	if d.roomDB, err = d.databaseAt(ctx, d.cfg.IMCDB()); err != nil {
		return fmt.Errorf("imc.db_url: %w", err)
	}
	seen, err := d.siloDB.LastSeen(ctx)
	if err != nil {
		return fmt.Errorf("silo.db_url: %w", err)
	}
	d.clock.Start(seen, buildTime())
	return nil
}

// databaseAt returns the database of [db] if it has the URL, or else opens another one.
func (d *daemon) databaseAt(ctx context.Context, url config.DBURL) (*db.DB, error) {
	if url.URL() == d.cfg.DB.URL.URL() {
		return d.database, nil
	}
	return d.openDatabase(ctx, url)
}

func (d *daemon) openDatabase(ctx context.Context, url config.DBURL) (*db.DB, error) {
	opt := dbOptions(d.cfg)
	opt.Log, opt.Domains, opt.Now, opt.Progress = d.log, d.domains, d.clock.Later, d.systemd.indexing
	b, err := db.Open(ctx, url.URL(), opt)
	if err != nil {
		return nil, err
	}
	d.databases = append(d.databases, b)
	if d.cfg.DB.Exclusive {
		err = b.AcquireLock(ctx)
	}
	return b, err
}

// openSockets creates the transport and the transaction layer and opens the SIP sockets.
func (d *daemon) openSockets(ctx context.Context, set settings) error {
	opt := transportOptions(d.cfg)
	opt.Log = d.log
	var err error
	if opt.ClientCAs, err = clientCAs(d.cfg); err != nil {
		return fmt.Errorf("auth.trusted_ca: %w", err)
	}
	d.transport = transport.New(opt)
	d.transport.Configure(set.transport)
	if err := d.transport.Listen(ctx); err != nil {
		return fmt.Errorf("%w; is another SIP server running? See sip.listen", err)
	}
	d.own = sip.OwnAddresses{Advertise: d.cfg.SIP.Advertise, Domains: d.domains}
	for _, e := range d.transport.Endpoints() {
		d.own.Listen = append(d.own.Listen, sip.Listener(e))
	}
	d.own.Machine, d.own.Hostname = config.MachineAddresses()
	d.own.Broadcast = config.BroadcastAddresses()
	transactions := transactionOptions(d.cfg)
	transactions.Log, transactions.Transport = d.log, d.transport
	d.transactions = transaction.New(transactions)
	return nil
}

// buildGuard creates the parts that authenticate and limit the senders of requests.
func (d *daemon) buildGuard(ctx context.Context, set settings) error {
	a := d.cfg.Auth
	users := d.database.Users()
	if a.Mode == "digest" {
		// Find a table that cannot be read now, not at the first REGISTER.
		_, err := users.Lookup(ctx, sip.AoR{User: "silod", Domain: "invalid"})
		if err != nil && !errors.Is(err, auth.ErrUnknownUser) {
			return fmt.Errorf("auth.mode: users cannot be looked up: %w", err)
		}
	}
	secret, err := nonceSecret(a.NonceSecretFile)
	if err != nil {
		return fmt.Errorf("auth.nonce_secret_file: %w", err)
	}
	bans := auth.NewBans(auth.BanOptions{
		Failures: limit.Rate(a.Failures), PerUser: limit.Rate(a.UserFailures), For: a.BanTime, Log: d.log,
	})
	d.credentials = auth.NewCache(users, auth.CacheOptions{})
	d.directory = silo.NewDirectory(d.findUser, time.Now)
	opt := auth.Options{
		Credentials: d.credentials, Domains: d.domains, Secret: secret, Bans: bans,
		Life: a.NonceLife, LegacyLife: a.LegacyNonceLife,
	}
	if opt.LegacyLife == 0 {
		opt.LegacyLife = -1 // 0 is the default of package auth
	}
	for _, name := range a.Algorithms {
		opt.Algorithms = append(opt.Algorithms, auth.Algorithm(name))
	}
	digest, err := auth.New(opt)
	if err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	d.guard = router.NewGuard(router.GuardOptions{
		Digest: a.Mode == "digest", Auth: digest, Bans: bans, Realm: a.Realm,
		Agents: auth.NewAgents(set.blockedAgents...), Limits: auth.NewLimits(auth.LimitOptions{}, set.limits),
		Identity: auth.NewIdentity(users.Aliases),
	}, set.policy)
	d.buildCensus()
	d.accounts = auth.NewAccounts(auth.AccountOptions{
		Users: users, Domains: d.domains, Realm: d.guard.RealmOf, Census: d.census, Changed: d.forgetUser,
	})
	return nil
}

// buildServices creates the parts that handle messages, and connects the queues of the
// engine with them.
func (d *daemon) buildServices(_ context.Context, set settings) error {
	d.location = registrar.New(registrar.Options{
		Store: d.database.Bindings(), Shared: d.database.SharedBindings(), Log: d.log, Alive: d.transport.Alive, Own: d.own,
		Now: d.clock.Later, Earlier: d.clock.Earlier, KeepRows: d.clock.Doubted, Changed: func(a sip.AoR) { d.router.BindingsChanged(a) },
	}, set.registrar)
	d.hub = watch.New(d.domains, d.log)
	d.proxy = proxy.New(proxy.Options{
		Transport: d.transport, Transactions: d.transactions, Location: d.location, Domains: d.domains, Own: d.own,
		IsRoom: func(a sip.AoR) bool { return d.rooms.IsRoom(a) }, Watch: d.hub, Log: d.log,
	}, set.proxy)
	d.mail, d.roomMail = d.proxy.Sender(set.mail), d.proxy.Sender(set.roomMail)

	d.engine = delivery.New(delivery.Options{Log: d.log, Destination: d.destination, Reachable: d.reachable, Now: d.clock.Earlier})
	d.engine.Configure(set.delivery)
	mailbox, notices, roomLog := d.engine.Queue(), d.engine.Queue(), d.engine.Queue() // rooms come last
	passed := silo.NewPassed(time.Now)
	d.silo = silo.New(silo.Options{
		Store: d.siloDB.Messages(), Waker: mailbox, Notices: notices, Domains: d.domains, Watch: d.hub, Log: d.log,
		Now: d.clock.Earlier, Stamp: d.clock.Later,
		Online: d.mail.Online, Reachable: d.mail.Reachable,
		Devices: d.mail.Registered,
		Every:   d.cfg.Silo.Delivery == "every",
		Exists:  d.exists(), Authenticated: d.cfg.Auth.Mode == "digest", Passed: passed,
		MaxBusy: shareOf(d.cfg.SIP.MaxHandlers),
	}, set.silo)
	d.rooms = imc.New(imc.Options{
		Store: d.roomDB.Rooms(), Outbox: d.silo, Waker: roomLog, Log: d.log, Now: d.clock.Earlier, Stamp: d.clock.Later,
		Domains: d.domains, Watch: d.hub, MaxBusy: shareOf(d.cfg.SIP.MaxHandlers), Addresses: d.addresses,
		Policy: roomPolicy{d.guard, d.silo}, Left: d.proxy.Registered,
		IsUser: d.exists(),
		Online: func(a sip.AoR) (online, known bool) { return d.mail.Online(a), d.roomMail.Knows(a) },
	}, set.rooms)
	if d.silo.Every() {
		mailbox.ServeDevices(d.mail.DeviceNames, func(device string) (delivery.Source, delivery.Sender) {
			return d.silo.Device(device), d.silo.WrapSender(d.mail.Device(device))
		})
	} else {
		mailbox.Serve(d.silo, d.silo.WrapSender(d.rooms.WrapSender(d.mail)))
	}
	roomLog.Serve(d.rooms, d.rooms.WrapSender(d.roomMail))
	notices.Serve(d.silo.Notices(), d.mail)

	d.router = router.New(router.Options{
		Transactions: d.transactions, Location: d.location, Proxy: d.proxy, Silo: d.silo, Queue: mailbox, Engine: d.engine, Rooms: d.rooms,
		Guard: d.guard, Domains: d.domains, Own: d.own, Passed: passed, Watch: d.hub, Log: d.log,
		MaxBody: d.cfg.SIP.MaxMessageSize,
		Server:  "silod/" + buildVersion(),
	}, set.router)
	d.transactions.SetHandler(d.router)
	return nil
}

// shareOf returns how many of the requests that are served at the same time may be for one mailbox
// or room.
func shareOf(handlers int) int { return max(1, handlers/8) }

// reachable reports whether a message in some queue can be tried although its owner may not be
// registered.
func (d *daemon) reachable(a sip.AoR) bool {
	return d.mail.Reachable(a, false) || d.roomMail.Reachable(a, false)
}

// destination returns the address of a user's first device, or else the domain.
func (d *daemon) destination(a sip.AoR) string {
	bindings := d.location.Bindings(a)
	if len(bindings) == 0 || bindings[0].Flow.IsZero() {
		return a.Domain
	}
	return bindings[0].Flow.Remote.String()
}

// load reads the state of the previous run from the databases. No request is read before.
func (d *daemon) load(ctx context.Context, _ settings) error {
	n, err := d.location.Load(ctx, d.restorer(ctx))
	if err != nil {
		return fmt.Errorf("load registrations: %w", err)
	}
	if d.cfg.Auth.Mode == "digest" { // these users have logged in
		d.location.Each(func(user sip.AoR, bindings []registrar.Binding) bool {
			for i := range bindings {
				d.guard.Bans.Remember(user, bindings[i].Flow)
			}
			return true
		})
	}
	if err := d.rooms.Load(ctx); err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	if err := d.silo.Load(ctx); err != nil {
		return fmt.Errorf("load messages: %w", err)
	}
	d.log.Debug("state loaded", "bindings", n)
	d.warnWithoutUsers(ctx)
	debug.FreeOSMemory() // the next collection, which would free the garbage of loading, may be far away
	d.wakeOnline()
	return nil
}

// restorer returns the function that restores flows of an earlier process. A flow over UDP can
// be used again, from another socket if the listeners have changed or Kamailio has registered
// it, unless no UDP socket has its IP version.
func (d *daemon) restorer(ctx context.Context) func(sip.Flow) (sip.Flow, bool) {
	sockets := d.transport.Endpoints()
	return func(f sip.Flow) (sip.Flow, bool) {
		bound := func(e transport.Endpoint) bool { return e.Transport == sip.UDP && includes(e.Addr, f.Local) }
		if f.Transport != sip.UDP || slices.ContainsFunc(sockets, bound) {
			return f, d.transport.Alive(f)
		}
		f, err := d.transport.Connect(ctx, transport.Target{Transport: sip.UDP, Addr: f.Remote})
		return f, err == nil
	}
}

// includes reports whether packets to an address arrive at a socket.
func includes(socket, to netip.AddrPort) bool {
	own, a := socket.Addr(), to.Addr()
	return socket.Port() == to.Port() && (own == a || own.IsUnspecified() && own.Is4() == a.Is4())
}

// nonceSecret reads the secret that several nodes share. It returns nil if file is "".
func nonceSecret(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("all users can read %s, and could make nonces with it: chmod 640", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, fmt.Errorf("%s is empty: `openssl rand -hex 32` prints a secret", file)
	}
	return b, nil
}

// clientCAs returns the authorities for certificates of trusted peers. It returns nil if
// no trusted peer is known by a name.
func clientCAs(cfg *config.Config) (*x509.CertPool, error) {
	if !namesPeers(cfg) {
		return nil, nil
	}
	if cfg.Auth.TrustedCA == "" {
		return x509.SystemCertPool()
	}
	pem, err := os.ReadFile(cfg.Auth.TrustedCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", cfg.Auth.TrustedCA)
	}
	return pool, nil
}

// namesPeers reports whether a trusted peer is known by the name in its certificate.
func namesPeers(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Auth.Trusted, func(p config.Peer) bool { return p.Name != "" })
}
