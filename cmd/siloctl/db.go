package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"silod/config"
	"silod/db"
	"silod/mi"
	"silod/sip"
)

// dbNoun returns the commands for databases. They need no daemon.
func (a *app) dbNoun() noun {
	var file string
	commands := []*cobra.Command{
		{
			Use: "init [DATABASE]", Short: "Create missing tables", Args: arguments(0, 1),
			Long: "Creates the missing tables of a database, Kamailio's and silod's own, and the file of a database that\n" +
				"is one. silod does so when it starts; use this where silod's user may not create tables.",
			RunE: func(cmd *cobra.Command, args []string) error { return a.dbMake(cmd.Context(), file, args, db.Init) },
		},
		{
			Use: "migrate [DATABASE]", Short: "Upgrade silod's own tables to the newest version", Args: arguments(0, 1),
			Long: "Upgrades silod's own tables and indexes to the version that this silod requires. Kamailio's tables and\n" +
				"their version rows do not change. silod does so when it starts, if its user may.",
			RunE: func(cmd *cobra.Command, args []string) error { return a.dbMake(cmd.Context(), file, args, db.Migrate) },
		},
		{
			Use: "check [DATABASE]", Short: "Check a database", Args: arguments(0, 1),
			Long: "Checks tables, versions, columns, indexes and rights, and shows how to repair a problem. It also counts\n" +
				"the rows that have their user in another spelling than silod writes, which is no problem, and tells of\n" +
				"numbers of rows that near their end. It changes nothing. A daemon may be using the database.",
			RunE: func(cmd *cobra.Command, args []string) error { return a.dbCheck(cmd.Context(), file, args) },
		},
		a.copyCommand(&file),
		{
			Use: "backup FILE [DATABASE]", Short: "Back up an SQLite database while silod runs", Args: arguments(1, 2),
			Long: "Writes an SQLite database, as it is when the command begins, to a new file that only its owner may\n" +
				"read. silod goes on meanwhile. The file appears under its name when it is complete. For another\n" +
				"engine use its own tool, such as pg_dump. To restore a backup, see docs/backup.md.",
			Example: "  siloctl db backup /var/backups/silod-$(date +%F).db --config /etc/silod/silod.toml",
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.dbBackup(cmd.Context(), file, args[0], args[1:])
			},
		},
	}
	for _, c := range commands {
		c.Long += "\n\nA DATABASE is a URL (sqlite:PATH, postgres://USER@HOST/NAME, mysql://..., text:DIRECTORY) or a\n" +
			"configuration file that names one. Other users of this machine can see a password in a URL."
		c.DisableFlagsInUseLine = true
		c.Flags().StringVar(&file, "config", "", "silod's configuration, for the names of tables and columns and for the default DATABASE")
		c.PreRunE = func(*cobra.Command, []string) error {
			if a.output == "mi" {
				return usagef("db does not ask the daemon: use -o table or -o json")
			}
			return nil
		}
	}
	return noun{name: "db", short: "Databases: init, migrate, check, copy, backup", more: commands}
}

// A database is the URL of a database with its names of tables and columns.
type database struct {
	url     config.DBURL
	opts    db.Options
	domains sip.Domains
	main    string // the main domain, "" if the configuration names none
}

// databases returns the databases that args name, or else those of the configuration.
func databases(file string, args []string) ([]database, error) {
	cfg, err := configOf(file)
	if err != nil {
		return nil, err
	}
	opts := tableNames(cfg)
	if len(args) == 0 {
		return configured(cfg), nil
	}
	if scheme, _, ok := strings.Cut(args[0], ":"); !ok || strings.Contains(scheme, "/") {
		if cfg, err = configOf(args[0]); err != nil {
			return nil, err
		}
		return configured(cfg), nil
	}
	url, err := config.ParseDBURL(args[0])
	if err != nil {
		return nil, usagef("database URL: %s", err)
	}
	return []database{{url, opts, cfg.LocalDomains(), mainDomain(cfg)}}, nil
}

// configured returns the databases of a configuration, each once: [silo] and [imc] may have their own.
func configured(cfg *config.Config) []database {
	var list []database
	for _, u := range []config.DBURL{cfg.DB.URL, cfg.SiloDB(), cfg.IMCDB()} {
		if !slices.ContainsFunc(list, func(d database) bool { return d.url.URL() == u.URL() }) {
			list = append(list, database{u, tableNames(cfg), cfg.LocalDomains(), mainDomain(cfg)})
		}
	}
	return list
}

// mainDomain returns the main domain of a configuration, "" if it names none.
func mainDomain(cfg *config.Config) string {
	if len(cfg.SIP.Domains) == 0 {
		return ""
	}
	return cfg.LocalDomains().Default()
}

// configOf reads a configuration; without a file it is the default one.
func configOf(file string) (*config.Config, error) {
	dirs := config.DefaultDirs(os.Getenv)
	if file == "" {
		return config.Default(dirs), nil
	}
	return config.Load(file, dirs)
}

// tableNames returns the names of tables and columns of a configuration.
func tableNames(cfg *config.Config) db.Options {
	c := cfg.Silo.Columns
	return db.Options{
		SiloTable: cfg.Silo.DBTable, RoomsTable: cfg.IMC.RoomsTable, MembersTable: cfg.IMC.MembersTable,
		Silo: db.SiloNames{
			ID: c.SCMid, From: c.SCFrom, To: c.SCTo, User: c.SCURIUser, Host: c.SCURIHost, Body: c.SCBody,
			CType: c.SCCType, Exp: c.SCExpTime, Inc: c.SCIncTime, Snd: c.SCSndTime, Headers: c.SCStoredHdrs, CallID: c.SCCallID,
		},
	}
}

// dbMake runs work, which is db.Init or db.Migrate, on each database and prints the names of the
// tables and indexes that it has created.
func (a *app) dbMake(
	ctx context.Context, file string, args []string, work func(context.Context, string, db.Options) ([]string, error),
) error {
	list, err := databases(file, args)
	if err != nil {
		return err
	}
	type made struct {
		Database config.DBURL `json:"database"`
		Made     []string     `json:"made"`
	}
	all := []made{}
	show := &indexReport{a: a}
	for _, d := range list {
		d.opts.Progress = show.at
		names, err := work(ctx, d.url.URL(), d.opts)
		show.end()
		if ctx.Err() != nil {
			a.note("run the same command again to continue")
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		all = append(all, made{d.url, append([]string{}, names...)}) // [] in JSON, not null
	}
	if a.output == "json" {
		return writeLine(a.out, all)
	}
	for _, m := range all {
		for _, name := range m.Made {
			fmt.Fprintf(a.out, "created %s\n", clean(name))
		}
		text := "is up to date"
		if len(m.Made) > 0 {
			text = "is ready"
		}
		fmt.Fprintf(a.out, "%s: %s\n", clean(m.Database.String()), text)
	}
	return nil
}

// dbCheck prints the state of each table. It returns an error if there is a problem.
func (a *app) dbCheck(ctx context.Context, file string, args []string) error {
	list, err := databases(file, args)
	if err != nil {
		return err
	}
	problems := 0
	reply := &mi.Node{List: true}
	for _, d := range list {
		d.opts.Domains = d.domains // copies keep the names of users as they are
		found, err := db.Check(ctx, d.url.URL(), d.opts)
		if err != nil {
			return err
		}
		for _, f := range found {
			if f.About {
				f.Note = strings.TrimPrefix(f.Note+"; the number of rows is an estimate", "; ")
			}
			state := strings.TrimSuffix("ok, "+f.Note, ", ")
			if strings.Contains(f.Table, ": ") {
				state = f.Note
			}
			if f.Problem != "" {
				state = f.Problem
				problems++
			}
			reply.Add("TABLE", nil, mi.Attr{Name: "database", Value: d.url.String()}, mi.Attr{Name: "table", Value: f.Table},
				mi.Attr{Name: "version", Value: f.Version}, mi.Attr{Name: "rows", Value: f.Rows}, mi.Attr{Name: "state", Value: state})
		}
	}
	if err := a.checked(reply, len(list)); err != nil {
		return err
	}
	if problems > 0 {
		return fmt.Errorf("problems: %d", problems)
	}
	return nil
}

// checked prints the result of a check. The table names the database only if there are several.
func (a *app) checked(reply *mi.Node, databases int) error {
	if a.output == "json" {
		return writeJSON(a.out, reply)
	}
	t := table{w: a.out, width: a.width(), fold: true}
	if databases == 1 {
		t.hide = []string{"database"}
	}
	for _, n := range reply.Nodes {
		if err := t.add(n.Attrs); err != nil {
			return err
		}
	}
	return t.flush()
}
