package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"silod/mi"
)

// openHTTP opens the listener of the monitoring pages if http.listen is set.
func (d *daemon) openHTTP(ctx context.Context, _ settings) error {
	if d.cfg.HTTP.Listen == "" {
		return nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", d.cfg.HTTP.Listen)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics{d})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", d.readyz)
	write := 30 * time.Second
	if d.cfg.HTTP.Pprof {
		write = 5 * time.Minute // the client sets the duration of a profile
		profiles(mux)
	}
	d.http = &httpServer{ln: patientListener{ln}, srv: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: write, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}}
	return nil
}

// profiles adds the pages of package pprof. Package config accepts http.pprof only with a
// loopback address.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // also serves the other profiles
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// readyz reports whether a load balancer should send requests: the database answers, no database
// refuses all writes, and the daemon is not stopping.
func (d *daemon) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := d.database.Ping(ctx); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if d.inDoubt() > 0 {
		http.Error(w, "the database does not answer a commit", http.StatusServiceUnavailable)
		return
	}
	if d.transactions.Draining() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// An httpServer serves the monitoring pages.
type httpServer struct {
	ln  net.Listener
	srv *http.Server
}

// Run serves until ctx ends.
func (h *httpServer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = h.srv.Close() })
	defer stop()
	if err := h.srv.Serve(h.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A patientListener waits while the system lacks resources. Package http does that for file
// descriptors only.
type patientListener struct{ net.Listener }

func (l patientListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if !mi.LacksResources(err) {
			return c, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// metrics exports the statistics of the management interface to Prometheus with the same
// names: msilo:stored_messages is silod_msilo_stored_messages_total.
type metrics struct{ d *daemon }

// Describe sends nothing, which makes the collector unchecked.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends the value of each statistic.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	for group, s := range m.d.registry.Statistics() {
		name, kind := metricName(group, s)
		desc := prometheus.NewDesc(name, s.Help, nil, nil)
		ch <- prometheus.MustNewConstMetric(desc, kind, float64(s.Value()))
	}
	for name, h := range m.d.latencies() {
		count, sum, atMost := h.hist.Snapshot()
		desc := prometheus.NewDesc("silod_"+name+"_seconds", h.help, nil, nil)
		ch <- prometheus.MustNewConstHistogram(desc, count, sum, atMost)
	}
}

// metricName returns the name and the type of a statistic for Prometheus.
func metricName(group string, s mi.Stat) (string, prometheus.ValueType) {
	name := "silod_" + group + "_" + strings.ReplaceAll(s.Name, "-", "_")
	if s.Counter == nil {
		return name, prometheus.GaugeValue
	}
	return strings.TrimSuffix(name, "_total") + "_total", prometheus.CounterValue
}
