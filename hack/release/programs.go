package main

// A program is one that is shipped. To ship another, add it to programs; if it has an image, also to the Dockerfile.
type program struct {
	name        string // of its file
	source      string // the package
	image       string
	title       string
	description string
	with        []string // files of the repository that belong to it, in its archive
}

var programs = []program{
	{
		name: "keyward-manager", source: "./cmd/manager", image: "keyward/manager",
		title:       "Keyward manager",
		description: "Creates API keys that are declared in Kubernetes, and keeps validation servers up to date",
	},
	{
		name: "keyward-validator", source: "./cmd/validator", image: "keyward/validator",
		title:       "Keyward validation server",
		description: "Authenticates requests with API keys next to the content",
	},
	{
		name: "keyward-console", source: "./cmd/console", image: "keyward/console",
		title:       "Keyward console",
		description: "Serves pages to people who manage API keys without a kubeconfig",
	},
	{
		name: "kubectl-keyward", source: "./cmd/kubectl-keyward", image: "keyward/kubectl-keyward",
		title:       "kubectl keyward",
		description: "Looks at API keys and their use, rotates, reveals and revokes them, and finds out why one was refused",
		with:        []string{"cmd/kubectl-keyward/kubectl_complete-keyward"},
	},
}

const (
	source  = "https://github.com/keyward-dev/keyward"
	module  = "github.com/keyward-dev/keyward"
	license = "Apache-2.0"
)
