package chart

import (
	"testing"

	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// TestSinksAreRead: the manager accepts the file of sinks that the chart writes.
func TestSinksAreRead(t *testing.T) {
	for _, configMap := range renderFeature(t, "sinks").ofKind("ConfigMap") {
		text, is := configMap.at("data", "sinks.yaml").(string)
		if !is {
			continue
		}
		read, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(read.Sinks) != 3 || read.Sinks[0].Name != "siem" || !read.Sinks[0].Wants("dev.keyward.key.rotated.v1") ||
			read.Sinks[0].SecretFile != "/var/run/keyward/sinks/siem" ||
			read.Sinks[1].SecretRef != (config.SecretRef{Name: "keyward-soc", Key: "signing"}) || read.Sinks[2].Type != config.Stdout {
			t.Errorf("%+v", read.Sinks)
		}
		return
	}
	t.Error("there is no file of sinks")
}
