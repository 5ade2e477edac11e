package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of the CA and of the certificates that it signs.
const lifetime = 365 * 24 * time.Hour

// CA signs the certificates of simulated targets: ECDSA P-256, for labs only.
type CA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

// NewCA makes a CA that is valid for a year from now.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate CA key: %w", err)
	}
	template, err := certificate("setpoint sim CA", now)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign CA: %w", err)
	}
	return newCA(key, der)
}

func newCA(key *ecdsa.PrivateKey, der []byte) (*CA, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA: %w", err)
	}
	if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !key.PublicKey.Equal(pub) {
		return nil, errors.New("CA's certificate and key do not belong together")
	}
	return &CA{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func certificate(name string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(lifetime),
	}, nil
}

// PEM is the CA's certificate, which clients trust.
func (c *CA) PEM() []byte { return c.pem }

// Pool is the CA as a client's RootCAs.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// ServerTLS signs a certificate for the hosts, names or addresses, as long as the
// CA lives, and returns a server's settings with it: TLS 1.2 or newer (gNMI 3.1).
// One is enough for a fleet behind the same hosts.
func (c *CA) ServerTLS(hosts ...string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate server key: %w", err)
	}
	template, err := certificate("setpoint sim", c.cert.NotBefore.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, h)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return nil, fmt.Errorf("sign server certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key}},
	}, nil
}

const (
	certFile = "ca.pem"
	keyFile  = "ca-key.pem"
)

// Save writes ca.pem and, readable by the owner only, ca-key.pem into dir, which
// it creates. Files that exist are an error.
func (c *CA) Save(dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return fmt.Errorf("write CA key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save CA: %w", err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeNew(filepath.Join(dir, keyFile), secret, 0o600); err != nil {
		return fmt.Errorf("save CA: %w", err)
	}
	if err := writeNew(filepath.Join(dir, certFile), c.pem, 0o644); err != nil {
		return fmt.Errorf("save CA: %w", err)
	}
	return nil
}

func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// LoadOrCreate reads the CA that Save wrote into dir, or makes and saves a new
// one where there is none. One that has expired is an error, so that nobody
// wonders why clients refuse the targets.
func LoadOrCreate(dir string, now time.Time) (*CA, error) {
	cert, err := os.ReadFile(filepath.Join(dir, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		ca, err := NewCA(now)
		if err != nil {
			return nil, err
		}
		return ca, ca.Save(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	ca, err := parseCA(cert, secret)
	if err != nil {
		return nil, fmt.Errorf("load CA from %s: %w", dir, err)
	}
	if now.After(ca.cert.NotAfter) {
		return nil, fmt.Errorf("CA in %s expired on %s", dir, ca.cert.NotAfter.Format(time.DateOnly))
	}
	return ca, nil
}

func parseCA(cert, secret []byte) (*CA, error) {
	c, _ := pem.Decode(cert)
	k, _ := pem.Decode(secret)
	if c == nil || k == nil {
		return nil, errors.New("no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is %T, not ECDSA", parsed)
	}
	return newCA(key, c.Bytes)
}
