package v1alpha1

// Clients are who may present a key.
//
// +kubebuilder:validation:Enum=Any;Browser;Server
type Clients string

// The clients that may present a key.
const (
	// ClientsAny are all clients.
	ClientsAny Clients = "Any"
	// ClientsBrowser are pages of allowed origins.
	ClientsBrowser Clients = "Browser"
	// ClientsServer are programs that are no browsers.
	ClientsServer Clients = "Server"
)

// AddressPrefix is an address of clients with the length of its prefix, of IPv4 or IPv6.
//
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="write an address with the length of its prefix, such as 192.0.2.0/24, 192.0.2.7/32 or 2001:db8::/32, and an IPv4 address without ::ffff:"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="bits after the prefix are set; write the first address of the range, or the length 32 (IPv6: 128) for a single address"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).prefixLength() > 0",message="a range of all addresses restricts nothing; leave addresses out"
type AddressPrefix string
