package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"silod/config"
	"silod/db"
	"silod/imc"
	"silod/proxy"
	"silod/registrar"
	"silod/router"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// check finds what is wrong with a configuration that only those know whom it is
// for.
func check(cfg *config.Config) error {
	var problems []config.Problem
	if _, err := roomSettings(cfg); err != nil {
		problems = append(problems, cfg.Problem("imc", err.Error()))
	}
	return cfg.Fail(problems...)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func transportOptions(cfg *config.Config) transport.Options {
	s := cfg.SIP
	c := transport.Options{
		Advertise:      s.Advertise,
		MaxMessageSize: s.MaxMessageSize,
		MaxConnections: s.MaxConnections,
		SourceRate:     s.SourceRate,
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

func transactionOptions(cfg *config.Config) transaction.Options {
	s := cfg.SIP
	return transaction.Options{MaxHandlers: s.MaxHandlers, MaxTransactions: s.MaxTransactions, Grace: s.StopTimeout}
}

// domains are those configured; else the addresses that are listened on and
// localhost. A listener on all addresses makes all of this machine's ours.
func domains(cfg *config.Config, listening []transport.Endpoint) []string {
	if len(cfg.SIP.Domains) > 0 {
		return append(slices.Clip(cfg.SIP.Domains), listenAddresses(listening)...)
	}
	return append(listenAddresses(listening), "localhost")
}

func listenAddresses(listening []transport.Endpoint) []string {
	var names []string
	for _, e := range listening {
		if !e.Addr.Addr().IsUnspecified() {
			names = append(names, e.Addr.Addr().String())
			continue
		}
		if host, err := os.Hostname(); err == nil {
			names = append(names, host)
		}
		names = append(names, interfaceAddresses()...)
	}
	return names
}

func interfaceAddresses() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var names []string
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			names = append(names, p.Addr().String())
		}
	}
	return names
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

func routerSettings(cfg *config.Config) router.Settings {
	return router.Settings{AcceptTimeout: cfg.SIP.AcceptTimeout}
}

func proxySettings(cfg *config.Config) (proxy.Settings, error) {
	next, err := nextHop(cfg.SIP.OutboundProxy)
	if err != nil {
		return proxy.Settings{}, fmt.Errorf("sip.outbound_proxy: %w", err)
	}
	return proxy.Settings{OutboundProxy: next, LargeOverUDP: cfg.SIP.LargeOverUDP}, nil
}

// senderSettings returns the settings for messages of the silo and of the rooms.
func senderSettings(cfg *config.Config) (mail, rooms proxy.SenderSettings, err error) {
	if mail.OutboundProxy, err = nextHop(cfg.Silo.OutboundProxy); err != nil {
		return mail, rooms, fmt.Errorf("silo.outbound_proxy: %w", err)
	}
	if rooms.OutboundProxy, err = nextHop(cfg.IMC.OutboundProxy); err != nil {
		return mail, rooms, fmt.Errorf("imc.outbound_proxy: %w", err)
	}
	return mail, rooms, nil
}

// nextHop reads a proxy's URI; nil where there is none.
func nextHop(s string) (*sip.URI, error) {
	if s == "" {
		return nil, nil
	}
	u, err := sip.ParseURI(s)
	return &u, err
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

// siloSettings are what can change while silod runs.
func siloSettings(cfg *config.Config) silo.Settings {
	s := cfg.Silo
	return silo.Settings{
		Expire:       seconds(s.ExpireTime),
		Sweep:        seconds(s.CheckTime) * time.Duration(s.CleanPeriod),
		MaxMessages:  s.MaxMessages,
		MaxPerSender: s.MaxPerSender,

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

		Reminder: s.Reminder,
		Remind:   seconds(s.SendTime),
		SendAt:   template(s.SndTimeAVP),
		Zone:     s.TimeZone.Location,

		NoticeFrom: template(s.FromAddress),
		NoticeText: template(s.OfflineMessage),
		NoticeFields: func(v silo.Values) []sip.Header {
			return append(s.ContactHdr.Expand(v), s.ContentTypeHdr.Expand(v)...)
		},
		NoticeEvery: s.NoticeInterval,
		UseContact:  s.UseContact,
		NoticeOwn:   literalUser(s.FromAddress),
	}
}

// template is nil where nothing is set.
func template(t config.Template) silo.Template {
	if t.IsZero() {
		return nil
	}
	return t.Expand
}

// literalUser tells whether the user part of a URI holds no pseudo-variable.
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
	c.Echo = r.Echo
	c.OwnerLeave = r.OwnerLeave
	c.MaxMembers, c.MaxRooms, c.MaxRoomsPerUser, c.MaxRate = r.MaxMembers, r.MaxRooms, r.MaxRoomsPerUser, r.MessageRate
	c.Texts = r.Texts
	var hdrs strings.Builder
	for _, h := range r.ExtraHdrs.List() {
		hdrs.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	c.ExtraHeaders = hdrs.String()
	return imc.NewSettings(c)
}
