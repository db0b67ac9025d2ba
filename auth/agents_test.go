package auth

import (
	"strings"
	"testing"
)

func TestAgents(t *testing.T) {
	a := NewAgents("friendly-scanner", "sundayddr", "sipcli/", " MyScan ", "")
	for agent, blocked := range map[string]bool{
		"friendly-scanner": true, "Friendly-Scanner/2": true, "sipcli/v1.8": true, "x myscan/1": true,
		strings.Repeat("x", maxAgent-8) + "sundayddr": false, // beyond the part that is searched
		"": false, "Linphonec/5.1.65": false, "MySIPClient/1.0": false, "baresip v1.0.0": false, "Purple/2.14.12": false,
		"sipsak 0.9.8.1": false, "SIPp": false, "SIP.js/0.21.1": false, "JsSIP 3.13.8": false, "Twinkle/1.10.2": false,
	} {
		if a.Match(agent) != blocked {
			t.Errorf("%q: want blocked %v", agent, blocked)
		}
	}
	if n := stat(t, a.Counters(), "blocked_agents"); n != 0 { // the router counts them
		t.Errorf("counted %d", n)
	}
	if a.Configure("other"); a.Match("friendly-scanner") || !a.Match("an OTHER one") {
		t.Error("the list is still the old one")
	}
	if NewAgents().Match("friendly-scanner") || NewAgents("").Match("anything") {
		t.Error("an empty list blocks")
	}
}
