package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// mysqlConfig returns the configuration of the driver. Its Addr has all hosts, separated by
// commas; connect splits it. It removes the parameter socket, which the driver does not know,
// from the URL.
func mysqlConfig(s server) (*mysql.Config, error) {
	socket := s.params.Get("socket")
	s.params.Del("socket")
	cfg, err := mysql.ParseDSN("/?" + s.params.Encode())
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Passwd, cfg.DBName = s.user, s.password, s.database
	var addrs []string
	for _, h := range s.hosts {
		if strings.HasPrefix(h, "/") && len(s.hosts) == 1 {
			socket = h
			continue
		}
		addrs = append(addrs, net.JoinHostPort(hostPort(h, "3306")))
	}
	if addrs == nil {
		addrs = []string{mysqlLocalhost}
	}
	cfg.Net, cfg.Addr = "tcp", strings.Join(addrs, ",")
	if socket != "" {
		cfg.Net, cfg.Addr = "unix", socket
	}
	cfg.InterpolateParams, cfg.ClientFoundRows, cfg.RejectReadOnly = true, true, true
	cfg.Timeout = connectTimeout
	cfg.Logger = &mysql.NopLogger{} // its texts are also returned as errors
	return cfg, nil
}

// mysqlLocalhost is the host localhost without a port, or with the usual one. The C library ignores
// the port; another one here means another server, so silod does not look for a socket.
const mysqlLocalhost = "localhost:3306"

// connect implements dialect. Of MariaDB's versions, those before 10.5 have no INSERT ...
// RETURNING.
func (d *mysqlDB) connect(ctx context.Context, r role) (*sql.DB, error) {
	var hosts mysqlHosts
	for addr := range strings.SplitSeq(d.cfg.Addr, ",") {
		cfg := d.cfg.Clone()
		dial := dialer{ioTimeout: ioTimeout[r]}
		if r == forWriting {
			dial.patience = &d.waits
		}
		cfg.Addr, cfg.DialFunc, cfg.ReadTimeout, cfg.WriteTimeout = addr, dial.DialContext, 0, 0
		c, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, d.explain(err)
		}
		if cfg.Net == "tcp" && addr == mysqlLocalhost {
			c = mysqlLocal{c, cfg}
		}
		hosts = append(hosts, mysqlHost{c, r == forSource})
	}
	pool := sql.OpenDB(hosts)
	limitPool(pool, r)
	var version string
	if err := scan(pool.QueryRowContext(ctx, "SELECT VERSION()"), &version); err != nil {
		pool.Close()
		return nil, d.explain(err)
	}
	d.returning = strings.Contains(version, "MariaDB") && !strings.HasPrefix(version, "10.4") && !strings.HasPrefix(version, "10.3")
	return pool, nil
}

// mysqlHosts is a driver.Connector that connects to the first of several servers that accepts
// writes.
type mysqlHosts []mysqlHost

// A mysqlHost connects to one server.
type mysqlHost struct {
	driver.Connector
	read bool // a server that does not accept writes will do
}

// Connect implements driver.Connector.
func (hs mysqlHosts) Connect(ctx context.Context) (driver.Conn, error) {
	var errs []error
	for _, h := range hs {
		c, err := h.Connect(ctx)
		if err == nil && len(hs) > 1 && !h.read {
			if err = checkWritable(ctx, c); err != nil {
				c.Close()
			}
		}
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Driver implements driver.Connector.
func (hs mysqlHosts) Driver() driver.Driver { return hs[0].Driver() }

// errReadOnly is the error of a server that must not be used.
var errReadOnly = errors.New("the server does not accept writes")

// checkWritable returns an error if the server does not accept writes. A server of a Galera
// cluster that has lost the others refuses even the SELECT.
func checkWritable(ctx context.Context, c driver.Conn) error {
	q, ok := c.(driver.QueryerContext)
	if !ok {
		return fmt.Errorf("unsupported connection of type %T", c)
	}
	rows, err := q.QueryContext(ctx, "SELECT @@global.read_only", nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return err
	}
	if asInt(value[0]) != 0 {
		return errReadOnly
	}
	return nil
}
