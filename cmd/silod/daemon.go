package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"silod/auth"
	"silod/clock"
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

// A daemon is the parts of silod, wired together by start.
type daemon struct {
	cfg   *config.Config // as it was at the start
	file  string         // the configuration file; "" for the defaults
	log   *slog.Logger
	level *slog.LevelVar

	database  *db.DB   // of [db]
	siloDB    *db.DB   // of [silo], which may be the same
	roomDB    *db.DB   // of [imc], which may be the same
	databases []*db.DB // all that are open

	transport    *transport.Layer
	transactions *transaction.Layer
	clock        *clock.Clock
	domains      sip.Domains
	own          sip.OwnAddresses
	guard        *router.Guard
	accounts     *auth.Accounts
	census       *auth.Census
	credentials  *auth.Cache
	directory    *silo.Directory
	location     *registrar.Location
	hub          *watch.Hub
	proxy        *proxy.Proxy
	mail         *proxy.Sender // of the queues of messages and of notices
	roomMail     *proxy.Sender // of the queue of rooms
	engine       *delivery.Engine
	silo         *silo.Service
	rooms        *imc.Service
	router       *router.Router

	registry *mi.Registry
	fifo     *fifo.Server
	datagram *socket.Datagram
	control  *socket.Control
	readOnly *socket.Control
	http     *httpServer

	stopped context.Context // ended by stop
	stop    context.CancelFunc

	systemd   systemd
	hangups   <-chan os.Signal // nil: SIGHUP is not handled
	reloading sync.Mutex       // one reload at a time
	applied   *config.Config   // by the last reload; guarded by reloading
	names     sip.DomainNames  // of domains; guarded by reloading
}

// run starts a daemon, prints its addresses, and serves until ctx ends.
func run(ctx context.Context, cfg *config.Config, file string, out, logs io.Writer) error {
	hangups := make(chan os.Signal, 1)
	if file != "" { // without a file SIGHUP, as of a closed terminal, ends the process
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	d, err := start(ctx, cfg, file, logs)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // a signal has ended the start
	}
	if err != nil {
		return err
	}
	d.hangups = hangups
	d.greet(out)
	return errors.Join(d.serve(ctx), d.close())
}

// serve runs all parts until ctx ends, stop is called or a part fails. The order of the
// end is: the parts that receive requests stop receiving, and finish the requests in
// progress; then the engine and the other parts stop. The caller closes the databases.
func (d *daemon) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.stopped, cancel)()
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()

	var services errgroup.Group
	runs := []func(context.Context) error{
		d.runClock, d.engine.Run, d.silo.Run, d.rooms.Run, d.location.Run, d.proxy.Run, d.wakeWaiting, d.census.Run,
	}
	for _, b := range d.databases {
		runs = append(runs, b.Run)
	}
	for _, run := range runs {
		services.Go(func() error { return d.stopOn(run(back)) })
	}
	listeners, lctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(lctx, d.hub.Stop)() // the command watch waits for events without end
	for _, run := range d.listeners() {
		listeners.Go(func() error { return d.stopOn(run(lctx)) })
	}
	err := listeners.Wait()
	d.log.Info("stopping")
	stopBack()
	grace, cancelGrace := context.WithTimeout(context.Background(), stopGrace)
	defer cancelGrace()
	d.router.Wait(grace)
	err = errors.Join(err, services.Wait())
	// The last deliveries of the engine moved cursors after the rooms had written them.
	last, cancelLast := context.WithTimeout(context.Background(), stopGrace)
	defer cancelLast()
	return errors.Join(err, d.rooms.Flush(last))
}

// seenEvery is the interval at which the time is saved for the next start.
const seenEvery = 10 * time.Minute

// runClock compares the clocks until ctx ends.
func (d *daemon) runClock(ctx context.Context) error {
	d.clock.Run(ctx, seenEvery, func(ctx context.Context, now time.Time) {
		if err := d.siloDB.SaveSeen(ctx, now); err != nil {
			d.log.Warn("time not saved", "error", err)
		}
	})
	return nil
}

// stopGrace is the time for late responses to relayed requests, and then for writing the
// last cursors.
const stopGrace = time.Second

// listeners returns the Run methods of the parts that receive requests and signals.
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
	return append(runs, d.systemd.run, d.reloadOnHangup)
}

// stopOn stops the daemon if a part of it has ended with an error, which it returns.
func (d *daemon) stopOn(err error) error {
	if err != nil {
		d.stop()
	}
	return err
}

// close closes the databases.
func (d *daemon) close() error {
	var errs []error
	for _, b := range d.databases {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// greet prints the addresses of the daemon and two commands to try.
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
