package installation_test

import (
	"testing"

	"github.com/keyward-dev/keyward/controllers/testenv"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "controllers/installation") }
