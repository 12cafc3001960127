"""What readers reach over HTTP: pages, DICOMweb, the JSON API and the operator's endpoints."""
