package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"silod/auth"
	"silod/config"
	"silod/db"
	"silod/delivery"
	"silod/fifo"
	"silod/imc"
	"silod/mi"
	"silod/mi/socket"
	"silod/proxy"
	"silod/registrar"
	"silod/router"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
	"silod/watch"
)

// daemon is everything that runs, wired together.
type daemon struct {
	cfg      *config.Config // as it was at the start
	file     string         // the configuration's; "" for the defaults
	log      *slog.Logger
	level    *slog.LevelVar
	domains  sip.Domains
	database *db.DB
	others   []*db.DB // of [silo] and [imc], where they are not that of [db]

	transport    *transport.Layer
	transactions *transaction.Layer
	location     *registrar.Location
	engine       *delivery.Engine
	silo         *silo.Service
	rooms        *imc.Service
	proxy        *proxy.Proxy
	router       *router.Router
	guard        *router.Guard
	accounts     *auth.Accounts
	credentials  *auth.Cache
	mail         *proxy.Sender // of the silo's queues
	roomMail     *proxy.Sender // of the rooms'

	registry *mi.Registry
	fifo     *fifo.Server
	datagram *socket.Datagram
	control  *socket.Control
	readOnly *socket.Control
	hub      *watch.Hub
	http     *httpServer
	stop     context.CancelFunc

	hangups   <-chan os.Signal // nil: SIGHUP is not for us
	reloading sync.Mutex       // one reload at a time
	applied   *config.Config   // by the last one; guarded by reloading
}

// run starts a daemon, says what is where, and serves until ctx ends.
func run(ctx context.Context, cfg *config.Config, file string, out, logs io.Writer) error {
	hangups := make(chan os.Signal, 1)
	if file != "" { // else there is nothing to reload, and a closed terminal ends us
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	d, err := start(ctx, cfg, file, logs)
	if err != nil {
		return err
	}
	d.hangups = hangups
	d.greet(out)
	return errors.Join(d.serve(ctx), d.close())
}

// start makes and opens everything, or closes again what was opened.
func start(ctx context.Context, cfg *config.Config, file string, logs io.Writer) (*daemon, error) {
	d := &daemon{cfg: cfg, applied: cfg, file: file, level: new(slog.LevelVar)}
	d.log = newLogger(cfg, d.level, logs)
	for _, step := range []func(context.Context) error{
		d.openDatabases, d.openSockets, d.openGuard, d.assemble, d.load, d.openManagement, d.openHTTP,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	for _, n := range cfg.Notes() {
		d.log.Warn("configuration", "key", n.Key, "line", n.Line, "note", n.Text)
	}
	return d, nil
}

func newLogger(cfg *config.Config, level *slog.LevelVar, w io.Writer) *slog.Logger {
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // checked by config
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func (d *daemon) openDatabases(ctx context.Context) error {
	if err := config.MakeDir(d.cfg.Dirs.State); err != nil {
		return err
	}
	var err error
	d.database, err = d.openDatabase(ctx, d.cfg.DB.URL)
	return err
}

func (d *daemon) openDatabase(ctx context.Context, url config.DBURL) (*db.DB, error) {
	opt := dbOptions(d.cfg)
	opt.Log = d.log
	b, err := db.Open(ctx, url.URL(), opt)
	if err != nil || !d.cfg.DB.Exclusive {
		return b, err
	}
	if err := b.AcquireLock(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// databaseOf is the database at url, opened unless it is one that is already.
func (d *daemon) databaseOf(ctx context.Context, url config.DBURL) (*db.DB, error) {
	if url.URL() == d.cfg.DB.URL.URL() {
		return d.database, nil
	}
	other, err := d.openDatabase(ctx, url)
	if err == nil {
		d.others = append(d.others, other)
	}
	return other, err
}

func (d *daemon) openSockets(ctx context.Context) error {
	cfg := transportOptions(d.cfg)
	cfg.Log = d.log
	cas, err := clientCAs(d.cfg)
	if err != nil {
		return fmt.Errorf("auth.trusted_ca: %w", err)
	}
	cfg.ClientCAs = cas
	d.transport = transport.New(cfg)
	transactions := transactionOptions(d.cfg)
	transactions.Log, transactions.Transport = d.log, d.transport
	d.transactions = transaction.New(transactions)
	apply, err := d.applyCertificate(d.cfg)
	if err != nil {
		return err
	}
	apply()
	if err := d.transport.Listen(ctx); err != nil {
		return fmt.Errorf("%w; is another SIP server running? See sip.listen", err)
	}
	d.domains = sip.NewDomains(domains(d.cfg, d.transport.Endpoints())...)
	return nil
}

// assemble makes the parts that know nothing of each other and joins them.
func (d *daemon) assemble(ctx context.Context) error {
	siloDB, err := d.databaseOf(ctx, d.cfg.SiloDB())
	if err != nil {
		return fmt.Errorf("silo.db_url: %w", err)
	}
	roomDB, err := d.databaseOf(ctx, d.cfg.IMCDB())
	if err != nil {
		return fmt.Errorf("imc.db_url: %w", err)
	}
	d.location = registrar.New(registrar.Options{Store: d.database.Bindings(), Log: d.log}, registrarSettings(d.cfg))

	d.hub = watch.New(d.domains, d.log)
	if err := d.openProxy(); err != nil {
		return err
	}
	d.engine = delivery.New(delivery.Options{Log: d.log})
	mailbox, roomLog, notices := d.engine.Queue(), d.engine.Queue(), d.engine.Queue()

	d.silo = silo.New(silo.Options{
		Store: siloDB.Messages(), Waker: mailbox, Notices: notices, Domains: d.domains, Watch: d.hub, Log: d.log,
		Online: d.mail.Online,
		Every:  d.cfg.Silo.Delivery == "every", Settings: siloSettings(d.cfg),
	})

	rooms, err := roomSettings(d.cfg)
	if err != nil {
		return err
	}
	d.rooms = imc.New(imc.Options{
		Store: roomDB.Rooms(), Outbox: d.silo, Waker: roomLog, Log: d.log, Now: time.Now,
		Domains: d.domains, Watch: d.hub, Settings: rooms,
	})

	d.router = router.New(router.Options{
		Transactions: d.transactions, Location: d.location, Proxy: d.proxy, Silo: d.silo, Queue: mailbox, Engine: d.engine, Rooms: d.rooms,
		Guard: d.guard, Domains: d.domains, Watch: d.hub, Log: d.log,
		MaxBody: d.cfg.SIP.MaxMessageSize,
		Server:  "silod/" + buildVersion(),
	}, routerSettings(d.cfg))
	d.transactions.SetHandler(d.router)
	if d.silo.Every() {
		mailbox.ServeDevices(d.mail.DeviceNames, func(device string) (delivery.Source, delivery.Sender) {
			return d.silo.Device(device), d.silo.WrapSender(d.mail.Device(device))
		})
	} else {
		mailbox.Serve(d.silo, d.silo.WrapSender(d.mail))
	}
	roomLog.Serve(d.rooms, d.roomMail)
	notices.Serve(d.silo.Notices(), d.mail)
	return nil
}

// openProxy makes the proxy, and the senders of the silo's and the rooms' queues.
func (d *daemon) openProxy() error {
	set, err := proxySettings(d.cfg)
	if err != nil {
		return err
	}
	d.proxy = proxy.New(proxy.Options{
		Transport: d.transport, Transactions: d.transactions, Location: d.location, Domains: d.domains, Watch: d.hub, Log: d.log,
	}, set)
	mail, rooms, err := senderSettings(d.cfg)
	if err != nil {
		return err
	}
	d.mail, d.roomMail = d.proxy.Sender(mail), d.proxy.Sender(rooms)
	return nil
}

// load brings the state of the last run back before the first request is read.
func (d *daemon) load(ctx context.Context) error {
	n, err := d.location.Load(ctx, d.transport.Alive)
	if err != nil {
		return fmt.Errorf("load registrations: %w", err)
	}
	if err := d.rooms.Load(ctx); err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	if err := d.silo.Load(ctx); err != nil {
		return fmt.Errorf("load messages: %w", err)
	}
	d.log.Debug("state loaded", "bindings", n)
	debug.FreeOSMemory() // what loading has left behind would stay until as much has come together again
	return d.engine.WakeWaiting(ctx, d.mail.Online)
}

// serve runs everything until ctx ends or a part fails. The end has an order: the
// stack stops taking requests and lets those finish that run; then the engine and
// the rest stop; the databases are closed last.
func (d *daemon) serve(ctx context.Context) error {
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()

	var behind errgroup.Group
	runs := []func(context.Context) error{d.engine.Run, d.silo.Run, d.rooms.Run, d.location.Run}
	for _, b := range append(d.others, d.database) {
		runs = append(runs, b.Run)
	}
	for _, run := range runs {
		behind.Go(func() error { return d.watch(run(back)) })
	}
	front, fctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(fctx, d.hub.Stop)() // who watches would wait for ever
	for _, run := range d.listeners() {
		front.Go(func() error { return d.watch(run(fctx)) })
	}
	err := front.Wait()
	d.log.Info("stopping")
	stopBack()
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	d.router.Wait(grace)
	err = errors.Join(err, behind.Wait())
	// The engine's last deliveries have moved cursors after the rooms had written theirs.
	last, cancelLast := context.WithTimeout(context.Background(), stopGrace)
	defer cancelLast()
	return errors.Join(err, d.rooms.Flush(last))
}

// stopGrace is how long calls that outlived their requests are waited for, and then
// the last cursors.
const stopGrace = time.Second

// listeners are what takes requests.
func (d *daemon) listeners() []func(context.Context) error {
	runs := []func(context.Context) error{d.transactions.Run}
	if d.fifo != nil {
		runs = append(runs, d.fifo.Run)
	}
	if d.datagram != nil {
		runs = append(runs, d.datagram.Run)
	}
	if d.control != nil {
		runs = append(runs, d.control.Run)
	}
	if d.readOnly != nil {
		runs = append(runs, d.readOnly.Run)
	}
	if d.http != nil {
		runs = append(runs, d.http.Run)
	}
	return append(runs, notifySystemd, d.reloadOnHangup)
}

// watch stops the daemon where a part of it ends with an error.
func (d *daemon) watch(err error) error {
	if err != nil {
		d.stop()
	}
	return err
}

func (d *daemon) close() error {
	var errs []error
	for _, b := range append(d.others, d.database) {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	return errors.Join(errs...)
}

// greet says where everything is, and two lines to try.
func (d *daemon) greet(w io.Writer) {
	fmt.Fprintf(w, "silod %s\n\n", buildVersion())
	for _, e := range d.transport.Endpoints() {
		fmt.Fprintf(w, "  SIP       %s:%s\n", e.Transport, e.Addr)
	}
	fmt.Fprintf(w, "  database  %s\n", d.cfg.DB.URL.Redacted())
	for _, p := range []struct{ name, path string }{
		{"MI FIFO", d.cfg.MI.FIFOName}, {"datagram", d.cfg.MI.SocketName}, {"control", d.cfg.MI.ControlSocket},
	} {
		if p.path != "" {
			fmt.Fprintf(w, "  %-9s %s\n", p.name, p.path)
		}
	}
	domain := d.domains.Default()
	fmt.Fprintf(w, "\nTry, in another terminal:\n\n"+
		"  go run ./cmd/siloctl send alice@%[1]s bob@%[1]s \"Hello Bob\"\n"+
		"  go run ./cmd/siloctl listen bob@%[1]s\n\n", domain)
}
