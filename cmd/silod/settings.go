package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"silod/auth"
	"silod/config"
	"silod/db"
	"silod/delivery"
	"silod/fifo"
	"silod/imc"
	"silod/limit"
	"silod/mi"
	"silod/mi/socket"
	"silod/proxy"
	"silod/registrar"
	"silod/router"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// settings are the values of the keys that a reload can change, parsed and checked.
type settings struct {
	logLevel  slog.Level
	transport transport.Settings
	domains   sip.DomainNames

	policy        router.Policy
	limits        auth.LimitSettings
	blockedAgents []string

	registrar registrar.Settings
	proxy     proxy.Settings
	mail      proxy.SenderSettings // of messages and notices
	roomMail  proxy.SenderSettings
	delivery  delivery.Settings
	silo      silo.Settings
	rooms     imc.Settings
	router    router.Settings

	registry mi.Settings
	fifo     fifo.Settings
	datagram socket.Settings
}

// settingsOf returns the settings of a configuration. mode is auth.mode at the start of
// the daemon, which a reload cannot change. An error names the key.
func settingsOf(cfg *config.Config, mode string) (settings, error) {
	set := settings{
		domains:       cfg.DomainNames(),
		policy:        policy(cfg),
		limits:        limits(cfg, mode),
		blockedAgents: cfg.Auth.BlockedAgents,
		registrar:     registrarSettings(cfg),
		delivery:      delivery.Settings{Retry: cfg.Silo.Retry, MaxRetry: cfg.Silo.MaxRetry},
		silo:          siloSettings(cfg),
		router:        router.Settings{AcceptTimeout: cfg.SIP.AcceptTimeout},
		registry:      mi.Settings{Indent: cfg.MI.ReplyIndent},
		fifo:          fifo.Settings{ReplyDir: cfg.MI.ReplyDir},
		datagram:      socket.Settings{Timeout: time.Duration(cfg.MI.SocketTimeout) * time.Millisecond},
	}
	set.transport.Limits = transportLimits(cfg)
	set.proxy.LargeOverUDP = cfg.SIP.LargeOverUDP
	set.proxy.NATPing = natPing(cfg)
	if err := set.logLevel.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return settings{}, fmt.Errorf("log.level: %w", err)
	}
	var problems []config.Problem
	if set.transport.Certificates, problems = certificates(cfg); len(problems) > 0 {
		return settings{}, cfg.Fail(problems...)
	}
	for _, n := range cfg.SIP.ProxyProtocol {
		set.transport.Proxies = append(set.transport.Proxies, n.Prefix)
	}
	var err error
	if set.proxy.OutboundProxy, err = nextHop(cfg.SIP.OutboundProxy); err != nil {
		return settings{}, fmt.Errorf("sip.outbound_proxy: %w", err)
	}
	if set.proxy.UserProxy, err = nextHop(cfg.SIP.UserProxy); err != nil {
		return settings{}, fmt.Errorf("sip.user_proxy: %w", err)
	}
	if set.mail.OutboundProxy, err = nextHop(cfg.Silo.OutboundProxy); err != nil {
		return settings{}, fmt.Errorf("silo.outbound_proxy: %w", err)
	}
	if set.roomMail.OutboundProxy, err = nextHop(cfg.IMC.OutboundProxy); err != nil {
		return settings{}, fmt.Errorf("imc.outbound_proxy: %w", err)
	}
	if set.silo.Senders, err = senders(cfg.Silo.Senders); err != nil {
		return settings{}, fmt.Errorf("silo.senders: %w", err)
	}
	set.mail.RoomProxy, set.roomMail.Rooms = set.roomMail.OutboundProxy, true
	if set.rooms, err = roomSettings(cfg); err != nil {
		return settings{}, err
	}
	return set, nil
}

// check returns the problems of a configuration that package config cannot find.
func check(cfg *config.Config) error {
	_, problems := certificates(cfg)
	if _, err := roomSettings(cfg); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ") // as NewSettings writes it
		problems = append(problems, cfg.Problem(key, text))
	}
	return cfg.Fail(problems...)
}

// nextHop parses the URI of a proxy. It returns nil if s is "".
func nextHop(s string) (*sip.URI, error) {
	if s == "" {
		return nil, nil
	}
	u, err := sip.ParseURI(s)
	return &u, err
}

func policy(cfg *config.Config) router.Policy {
	return router.Policy{
		Trust:     auth.NewTrust(peers(cfg)...),
		Relay:     relays[cfg.Auth.Relay],
		Strangers: strangers[cfg.Auth.Strangers],
	}
}

// The words of auth.relay and auth.strangers.
var (
	relays = map[string]router.Relay{
		"nobody": router.RelayNobody, "trusted": router.RelayTrusted, "authenticated": router.RelayAuthenticated,
	}
	strangers = map[string]router.Strangers{
		"nobody": router.StrangersRefused, "users": router.StrangersToUsers, "all": router.StrangersToAll,
	}
)

func peers(cfg *config.Config) []auth.Peer {
	list := make([]auth.Peer, len(cfg.Auth.Trusted))
	for i, p := range cfg.Auth.Trusted {
		list[i].Rights = auth.Rights{Relay: p.Relay, AssertIdentity: p.Identity, Challenge: p.Digest}
		if p.Name != "" {
			list[i].Names = []string{p.Name}
		} else {
			list[i].Networks = []netip.Prefix{p.Network.Prefix}
		}
	}
	return list
}

// limits returns the limits of sources and of users. Without authentication only those
// apply that the file sets.
func limits(cfg *config.Config, mode string) auth.LimitSettings {
	rate := func(key string, r config.Rate) limit.Rate {
		if mode != "digest" && !cfg.IsSet(key) {
			return limit.Rate{}
		}
		return limit.Rate(r)
	}
	a := cfg.Auth
	return auth.LimitSettings{
		PerSource: map[string]limit.Rate{
			"REGISTER": rate("auth.source_registers", a.SourceRegisters),
			"MESSAGE":  rate("auth.source_messages", a.SourceMessages),
			"":         rate("auth.source_others", a.SourceOthers),
		},
		PerUser: map[string]limit.Rate{
			"REGISTER": rate("auth.user_registers", a.UserRegisters),
			"MESSAGE":  rate("auth.user_messages", a.UserMessages),
		},
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func transportOptions(cfg *config.Config) transport.Options {
	s := cfg.SIP
	c := transport.Options{
		Advertise:      s.Advertise,
		MaxMessageSize: s.MaxMessageSize,
		MaxConnections: s.MaxConnections,
		IdleTimeout:    s.IdleTimeout,
		StartTimeout:   s.StartTimeout,
		WriteTimeout:   s.WriteTimeout,
	}
	for _, l := range s.Listen {
		t, _ := sip.ParseTransport(l.Transport) // checked by config
		c.Listen = append(c.Listen, transport.Endpoint{Transport: t, Addr: l.Addr})
	}
	return c
}

func transportLimits(cfg *config.Config) transport.Limits {
	s := cfg.SIP
	return transport.Limits{
		SourceRate:        s.SourceRate,
		SourceConnections: s.SourceConnections,
		SourceConnects:    limit.Rate(s.SourceConnects),
		SourceHandshakes:  limit.Rate(s.SourceHandshakes),
		AuthTimeout:       s.AuthTimeout,
	}
}

func transactionOptions(cfg *config.Config) transaction.Options {
	s := cfg.SIP
	return transaction.Options{MaxHandlers: s.MaxHandlers, MaxTransactions: s.MaxTransactions, Grace: s.StopTimeout}
}

func dbOptions(cfg *config.Config) db.Options {
	c := cfg.Silo.Columns
	return db.Options{
		SiloTable:    cfg.Silo.DBTable,
		RoomsTable:   cfg.IMC.RoomsTable,
		MembersTable: cfg.IMC.MembersTable,
		Silo: db.SiloNames{
			ID: c.SCMid, From: c.SCFrom, To: c.SCTo, User: c.SCURIUser, Host: c.SCURIHost, Body: c.SCBody,
			CType: c.SCCType, Exp: c.SCExpTime, Inc: c.SCIncTime, Snd: c.SCSndTime, Headers: c.SCStoredHdrs, CallID: c.SCCallID,
		},
	}
}

func registrarSettings(cfg *config.Config) registrar.Settings {
	r := cfg.Registrar
	return registrar.Settings{
		Default:     seconds(r.DefaultExpires),
		Min:         seconds(r.MinExpires),
		Max:         seconds(r.MaxExpires),
		MaxContacts: r.MaxContacts,
	}
}

func natPing(cfg *config.Config) proxy.NATPing {
	r := cfg.Registrar
	return proxy.NATPing{Every: r.NATPing, Options: r.NATPingMethod == "options", Failures: r.NATPingFailures}
}

func siloSettings(cfg *config.Config) silo.Settings {
	s := cfg.Silo
	return silo.Settings{
		Expire: seconds(s.ExpireTime),
		Sweep:  seconds(s.CheckTime) * time.Duration(s.CleanPeriod),

		Mailbox:      usage(s.MaxMessages, s.MaxBytes),
		PerSender:    usage(s.MaxPerSender, s.MaxPerSenderBytes),
		Sender:       usage(s.SenderMessages, s.SenderBytes),
		Source:       usage(s.SourceMessages, s.SourceBytes),
		Strangers:    usage(s.StrangersMessages, s.StrangersBytes),
		UnknownUsers: unknownUsers[s.UnknownUsers],

		StoreOwner: template(s.StoreOwner),
		DumpOwner:  template(s.DumpOwner),

		Ephemeral: s.Ephemeral.Match,
		Discard:   s.Discard.Match,
		StoreOn:   s.StoreOn.Matches,

		AddDate:    s.AddDate,
		Date:       s.DateFormat.Format,
		AddFields:  s.ExtraHdrs.Expand,
		AddContact: s.AddContact,
		KeepFields: template(s.ExtraHdrsAVP),

		Reminder: strictURI(s.Reminder),
		Remind:   seconds(s.SendTime),
		SendAt:   template(s.SndTimeAVP),
		Zone:     s.TimeZone.Location,

		NoticeFrom: template(s.FromAddress),
		NoticeText: template(s.OfflineMessage),
		NoticeFields: func(v silo.Values) []sip.Header {
			return append(s.ContactHdr.Expand(v), s.ContentTypeHdr.Expand(v)...)
		},
		NoticeEvery:     s.NoticeInterval,
		UseContact:      s.UseContact,
		NoticeFromFixed: literalUser(s.FromAddress),
	}
}

// strictURI returns a configured URI in the characters of the grammar. It returns "" if s is "".
func strictURI(s string) string {
	u, err := sip.ParseURI(s)
	if err != nil {
		return s
	}
	return u.Strict()
}

// senders parses a list of senders.
func senders(list []string) (*sip.Senders, error) {
	s, err := sip.ParseSenders(list)
	return &s, err
}

// usage returns a limit for messages and bytes.
func usage(messages, bytes int) silo.Usage {
	return silo.Usage{Messages: int64(messages), Bytes: int64(bytes)}
}

// unknownUsers are the words of silo.unknown_users.
var unknownUsers = map[string]silo.UnknownUsers{
	"reject": silo.UnknownReject, "store": silo.UnknownStore, "hide": silo.UnknownHide,
}

// template returns nil if t is not set.
func template(t config.Template) silo.Template {
	if t.IsZero() {
		return nil
	}
	return t.Expand
}

// literalUser reports whether the user part of a URI has no pseudo-variables.
func literalUser(t config.Template) bool {
	parts := t.Parts()
	return len(parts) > 0 && strings.Contains(parts[0].Literal, "@")
}

func roomSettings(cfg *config.Config) (imc.Settings, error) {
	r := cfg.IMC
	c := imc.DefaultConfig()
	c.StartChar = r.CmdStartChar
	c.CreateOnJoin = r.CreateOnJoin
	c.CheckOnCreate = r.CheckOnCreate
	c.RoomPattern = r.RoomPattern.String()
	c.Manager = r.Manager
	c.History, c.CatchUp, c.PauseAfter = r.History, r.CatchUp, r.PauseAfter
	c.CatchUpMax, c.OpenHistory = r.CatchUpMax, r.OpenHistory
	c.Echo = r.Echo
	c.OwnerLeave = r.OwnerLeave
	c.Creators = r.Creators
	c.MaxMembers, c.MaxRooms, c.MaxRoomsPerUser, c.MaxRate = r.MaxMembers, r.MaxRooms, r.MaxRoomsPerUser, r.MessageRate
	c.Texts = r.Texts
	var hdrs strings.Builder
	for _, h := range r.ExtraHdrs.List() {
		hdrs.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	c.ExtraHeaders = hdrs.String()
	return imc.NewSettings(c)
}
