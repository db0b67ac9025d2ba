// Command silod is a SIP instant-messaging server. It registers devices, relays messages,
// stores messages for offline users, and runs chat rooms.
//
// This package handles flags and signals and creates the parts of the daemon, each of
// which is a package. Settings are parsed and checked before a part gets them: settingsOf
// returns an error, and Configure of a part cannot fail.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"silod/config"
)

// version is set by the linker (see the Makefile).
var version = "dev"

func main() {
	kept := ballast()
	ctx, cancel := signalContext()
	err := command(config.DefaultDirs(os.Getenv)).ExecuteContext(ctx)
	cancel()
	runtime.KeepAlive(kept)
	if err != nil {
		fmt.Fprintln(os.Stderr, text(err))
		os.Exit(1)
	}
}

// text returns an error for the terminal. It begins with "silod: " unless it is a list of
// problems in a configuration, whose lines begin with the name of the file.
func text(err error) string {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return err.Error()
	}
	return "silod: " + err.Error()
}

// signalContext returns a context that ends with the first SIGINT or SIGTERM. The second
// signal ends the process, however soon it follows.
func signalContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		again := <-signals
		signal.Reset(again)
		_ = syscall.Kill(os.Getpid(), again.(syscall.Signal))
	}()
	return ctx, cancel
}

func command(dirs config.Dirs) *cobra.Command {
	var file string
	root := &cobra.Command{
		Use:   "silod",
		Short: "A SIP messaging server: registrar, relay, offline store and chat rooms",
		Long: "silod serves SIP, stores messages for offline users, and runs chat rooms.\n" +
			"Without a configuration it listens on 127.0.0.1:5060 and keeps an SQLite database.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file, dirs)
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, file, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	root.PersistentFlags().StringVar(&file, "config", "", "configuration `FILE`, TOML; see `silod config`")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		&cobra.Command{
			Use:   "check",
			Short: "Check the configuration: print every problem with its key and line",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := load(file, dirs)
				if err != nil {
					return err
				}
				for _, n := range cfg.Notes() {
					fmt.Fprintln(cmd.ErrOrStderr(), n)
				}
				if file == "" {
					file = "the defaults"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: no problems found\n", file)
				return nil
			},
		},
		&cobra.Command{
			Use:   "config",
			Short: "Print the annotated default configuration",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprint(cmd.OutOrStdout(), config.Sample())
				return err
			},
		},
		&cobra.Command{
			Use:   "version",
			Short: "Print the version",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "silod", buildVersion())
				return err
			},
		},
		&cobra.Command{
			Use:    "man DIRECTORY",
			Short:  "Write the manual page",
			Args:   cobra.ExactArgs(1),
			Hidden: true,
			RunE: func(_ *cobra.Command, args []string) error {
				if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // documents are public
					return err
				}
				return doc.GenManTree(root, &doc.GenManHeader{Section: "8", Source: "silod"}, args[0])
			},
		},
	)
	return root
}

// buildVersion returns the version that the linker has set, or "dev" with the revision.
func buildVersion() string {
	if version != "dev" {
		return version
	}
	if r := revision(); r != "" {
		return version + "-" + r
	}
	return version
}

// revision returns the commit from which silod was built, "" if the go command recorded
// none.
func revision() string {
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(len(s.Value), 12)]
			}
		}
	}
	return ""
}

// buildTime returns the time of that commit, or the zero time.
func buildTime() (t time.Time) {
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.time" {
				t, _ = time.Parse(time.RFC3339, s.Value)
			}
		}
	}
	return t
}

// load reads and checks the configuration in file, or returns the default one if file is
// "".
func load(file string, dirs config.Dirs) (*config.Config, error) {
	cfg := config.Default(dirs)
	if file != "" {
		var err error
		if cfg, err = config.Load(file, dirs); err != nil {
			return nil, err
		}
	}
	return cfg, check(cfg)
}
