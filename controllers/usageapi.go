package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/servingcert"
	"github.com/keyward-dev/keyward/controllers/usageapi"
)

// addUsageAPI adds the server for usage over time, if it has an address. hours is nil where none are kept.
func addUsageAPI(mgr ctrl.Manager, address string, certificate *servingcert.Certificate, hours usageapi.Hours) error {
	if address == "" || address == "0" {
		return nil
	}
	err := mgr.Add(&usageapi.Server{
		Address: address, Certificate: certificate.Get, Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Clock: clock.RealClock{},
		Hours: hours,
	})
	if err != nil {
		return fmt.Errorf("adding the server for usage: %w", err)
	}
	return nil
}
