package controllers

import (
	"fmt"
	"os"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/cursor"
	"github.com/keyward-dev/keyward/controllers/sinks/secretentry"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// sendersOf makes senders, which sign with Secrets in the manager's namespace.
func sendersOf(mgr ctrl.Manager, namespace string) *sender.Maker {
	return &sender.Maker{
		Clock: clock.RealClock{}, Stdout: os.Stdout, Secrets: &secretentry.Reader{Reader: mgr.GetAPIReader(), Namespace: namespace},
	}
}

// addSinks adds what sends the logs of Groups to others, if they are to be sent anywhere. It returns nil if they are not.
func addSinks(mgr ctrl.Manager, logs sinks.Source, configured *config.Configuration, namespace string) (*sinks.Runner, error) {
	if configured == nil || len(configured.Sinks) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	log := ctrl.Log.WithName("sinks")
	runner := &sinks.Runner{
		Source: logs, Clock: clock.RealClock{}, Log: log,
		Store: &cursor.ConfigMaps{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: namespace, Log: log},
	}
	senders := sendersOf(mgr, namespace)
	for _, s := range configured.Sinks {
		to, err := senders.New(s)
		if err != nil {
			return nil, fmt.Errorf("--sinks-file: %w", err)
		}
		runner.Sinks = append(runner.Sinks, sinks.Sink{Sink: s, Sender: to})
	}
	if err := mgr.Add(runner); err != nil {
		return nil, fmt.Errorf("adding the sinks: %w", err)
	}
	return runner, nil
}
