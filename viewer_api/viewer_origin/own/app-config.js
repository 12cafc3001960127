/* OHIF's configuration in this hub: one data source, the DICOMweb of the grant this tab has. */
(function () {
  const grant = sessionStorage.getItem("eirhub-grant");
  if (!grant) {
    location.replace("/open");
    return;
  }
  // The package's guided tour is in English and lies over the picture.
  localStorage.setItem("shownTours", JSON.stringify(["basicViewerTour"]));
  const root = `${location.origin}/g/${grant}/dicom-web`;
  window.config = {
    name: "EIR Hub",
    routerBasename: "/",
    extensions: [],
    modes: [],
    customizationService: {},
    showStudyList: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    showLoadingIndicator: true,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    investigationalUseDialog: { option: "configure", days: 365 },
    maxNumberOfWebWorkers: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)),
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
    showErrorDetails: "production",
    defaultDataSourceName: "eirhub",
    dataSources: [
      {
        namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
        sourceName: "eirhub",
        configuration: {
          friendlyName: "EIR Hub",
          name: "eirhub",
          qidoRoot: root,
          wadoRoot: root,
          wadoUriRoot: `${location.origin}/g/${grant}/wado`,
          qidoSupportsIncludeField: true,
          supportsReject: false,
          dicomUploadEnabled: false,
          imageRendering: "wadors",
          thumbnailRendering: "wadors",
          enableStudyLazyLoad: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          staticWado: false,
          singlepart: "bulkdata,video",
          bulkDataURI: { enabled: true, relativeResolution: "studies" },
          omitQuotationForMultipartRequest: true,
        },
      },
    ],
    httpErrorHandler: (error) => {
      // Signed out, paused too long, or no longer allowed: the study page opens it again.
      if (error && error.status === 401) location.replace("/open");
    },
  };
})();
