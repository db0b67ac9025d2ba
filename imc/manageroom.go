package imc

import (
	"context"
	"strings"

	"silod/mi"
)

// roomCommands returns the management commands that change the properties of a room.
func (s *Service) roomCommands() []mi.Command {
	return []mi.Command{
		{
			Name: "imc_set_title", Aliases: []string{"imc.set_title"}, Args: "ROOM TITLE", MinArgs: 2, MaxArgs: 2, Writes: true,
			Run:  s.miSetText("title"),
			Help: "Sets the title of a room; - removes it.",
		}, {
			Name: "imc_set_topic", Aliases: []string{"imc.set_topic"}, Args: "ROOM TOPIC", MinArgs: 2, MaxArgs: 2, Writes: true,
			Run:  s.miSetText("topic"),
			Help: "Sets the topic of a room; - removes it.",
		}, {
			Name: "imc_set_private", Aliases: []string{"imc.set_private"}, Args: "ROOM YES|NO", MinArgs: 2, MaxArgs: 2, Writes: true,
			Run:  s.miSetPrivate,
			Help: "Makes a room private: users need an invitation to join; or public.",
		},
	}
}

// miSetText returns the function of a management command that sets a text of a room.
func (s *Service) miSetText(command string) func(context.Context, *mi.Request) (*mi.Node, error) {
	return func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
		c, err := s.operatorCall(command, req.Arg(0))
		if err != nil {
			return nil, err
		}
		if c.text = strings.Trim(printable(req.Arg(1)), blanks); c.text == "" {
			return nil, mi.Errorf(400, "the %s is empty: write - to remove it", command)
		}
		return nil, s.runForOperator(ctx, c)
	}
}

// miSetPrivate makes a room private or public.
func (s *Service) miSetPrivate(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	var command string
	switch strings.ToLower(req.Arg(1)) {
	case "yes", "private", "1", "true":
		command = "private"
	case "no", "public", "0", "false":
		command = "public"
	default:
		return nil, mi.Errorf(400, "the second argument must be yes or no")
	}
	c, err := s.operatorCall(command, req.Arg(0))
	if err != nil {
		return nil, err
	}
	return nil, s.runForOperator(ctx, c)
}
