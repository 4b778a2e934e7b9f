package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/leaks"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/servingcert"
)

// LeakOptions are where and from whom the manager receives reports of leaks.
type LeakOptions struct {
	// Address to listen on, host:port; "0" or empty turns it off.
	Address string
	// TokenFile has the token of who reports; GitHubKeysURL the keys with which GitHub signs. Each may be empty.
	TokenFile, GitHubKeysURL string
}

// Enabled reports whether reports are received.
func (o LeakOptions) Enabled() bool { return o.Address != "" && o.Address != "0" }

// addLeaks adds the server for reports of leaks, if there is to be one.
func addLeaks(mgr ctrl.Manager, seals *seal.Keeper, options LeakOptions, certificate *servingcert.Certificate) error {
	if !options.Enabled() {
		return nil
	}
	err := mgr.Add(&leaks.Server{
		Address: options.Address, Certificate: certificate.Get, Client: mgr.GetClient(), Seals: seals, Clock: clock.RealClock{},
		TokenFile: options.TokenFile, GitHubKeysURL: options.GitHubKeysURL,
	})
	if err != nil {
		return fmt.Errorf("adding the server for reports of leaks: %w", err)
	}
	return nil
}
